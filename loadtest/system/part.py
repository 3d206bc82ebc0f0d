"""A part of the system under test in a process of its own, beside `booking up`: a query node, an API process, a projector, a relay.

It finds the servers by the run file of the data directory, like any operator's command would, and has a port of its own on which it is asked
whether it is ready. It can be killed and started again on the same port. It does not outlive the laboratory.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from loadtest.driver import Client
from loadtest.failures import CannotRunError
from loadtest.system.booking_up import environment
from loadtest.system.child_processes import end

Kind = Literal["api", "queries", "projector", "relay"]

# What runs each kind, and the setting of the port it answers `/health/ready` on.
COMMANDS: Mapping[Kind, tuple[tuple[str, str], str]] = {
    "api": (("booking.cli", "api"), "BOOKING_PORT"),
    "queries": (("projector.cli", "api"), "PROJECTOR_PORT"),
    "projector": (("projector.cli", "run"), "PROJECTOR_METRICS_PORT"),
    "relay": (("booking.cli", "relay"), "BOOKING_METRICS_PORT"),
}
READY_DEADLINE_S = 30.0
STOP_DEADLINE_S = 8.0
POLL_EVERY_S = 0.05


class Part:
    """One such process; `url` is where it answers (of projector and relay only health and metrics)."""

    def __init__(
        self, kind: Kind, data_dir: Path, *, settings: Mapping[str, str], log_file: Path
    ) -> None:
        self.kind = kind
        self._log_file = log_file
        # Bound and never listening: the process may bind the same port, also when started again, and nobody else is given it.
        self._reservation = socket.socket()
        self._reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reservation.bind(("127.0.0.1", 0))
        port = int(self._reservation.getsockname()[1])
        self.url = f"http://127.0.0.1:{port}"
        self._command, port_variable = COMMANDS[kind]
        here = {"BOOKING_DATA_DIR": str(data_dir), port_variable: str(port)}
        self._environ = environment(os.environ, {**settings, **here})
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """The process there is now.

        Raises:
            ProcessLookupError: it has ended.
        """
        if self._process is None or self._process.returncode is not None:
            raise ProcessLookupError(f"the {self.kind} does not run")
        return self._process.pid

    async def start(self, *, until_ready: bool = True) -> None:
        """Starts it (again), and waits until it says it is ready; a standby projector is told not to be waited for.

        Raises:
            CannotRunError: it ended, or was not ready in time.
        """
        with self._log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", *self._command),
                env=self._environ,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if until_ready:
            await self.until_ready()

    async def until_ready(self, *, within_s: float = READY_DEADLINE_S) -> None:
        """Waits for a 200 of its `/health/ready`.

        Raises:
            CannotRunError: it ended, or did not say so in time.
        """
        ends_s = time.monotonic() + within_s
        async with Client(self.url, connections_max=1, timeout_s=2.0) as client:
            while (await client.request("GET", "/health/ready")).status != 200:
                if self.ended:
                    raise CannotRunError(f"The {self.kind} ended at once: see {self._log_file}.")
                if time.monotonic() > ends_s:
                    raise CannotRunError(
                        f"The {self.kind} was not ready within {within_s:.0f} s: see {self._log_file}."
                    )
                await asyncio.sleep(POLL_EVERY_S)

    @property
    def ended(self) -> bool:
        """Whether there is no such process now, whatever it ended of."""
        return self._process is None or self._process.returncode is not None

    async def struck(self) -> None:
        """Waits until the fault it was given has killed it.

        Raises:
            CannotRunError: it ended of something else, which would pass for the fault.
        """
        code = None if self._process is None else await self._process.wait()
        if code != -signal.SIGKILL:
            raise CannotRunError(
                f"The {self.kind} ended with exit code {code}, and not by the fault it was given: see {self._log_file}."
            )

    async def kill(self) -> None:
        """Ends it by SIGKILL, at once; `start` brings it back. Nothing happens when it has ended."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def stop(self) -> None:
        """Asks it to end; after STOP_DEADLINE_S it is killed. For good: its port is given back."""
        self._reservation.close()
        if self._process is not None:
            await end(self._process, within_s=STOP_DEADLINE_S)
