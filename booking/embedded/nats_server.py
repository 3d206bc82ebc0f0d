"""An own nats-server with JetStream for one directory, on free ports of the loopback.

The server picks its ports itself and writes them to a file, so no port is guessed and then lost to
somebody else. A restart keeps the first ports, because clients know them. What is acknowledged is
synced within seconds, not at once: the stream is a copy, and the relay heals its tail from the log.
"""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from booking.edge.failures import Misconfigured
from booking.embedded.binaries import find_nats_server
from booking.embedded.child import Child

START_DEADLINE_S = 30
STOP_DEADLINE_S = 2.5

# A message passes five goroutines; handing it from core to core takes a seventh of the server's CPU,
# and one core is more than the bookings of one machine need. Whoever sets another number gets it.
ONE_CORE = {"GOMAXPROCS": "1"}

# js_ack_fc_v2 would change the form of ack subjects, which the client reads by position.
CONFIGURATION = """\
listen: "127.0.0.1:{port}"
http: "127.0.0.1:{monitoring_port}"
ports_file_dir: "{ports_dir}"
max_payload: 1MB
jetstream {{ store_dir: "{store_dir}", sync_interval: 10s, max_file_store: 16GB }}
feature_flags {{ js_ack_fc_v2: false }}
"""


class _Ports(msgspec.Struct):
    nats: list[str] = []
    monitoring: list[str] = []


class NatsServer:
    """A running server: `async with NatsServer(store_dir) as nats_server`."""

    name = "nats-server"

    def __init__(self, store_dir: Path, *, inherited: Sequence[int] = ()) -> None:
        """Prepare for `store_dir`; `inherited` file descriptors stay open as long as it runs."""
        self.store_dir = store_dir.absolute()
        self.child: Child | None = None
        self.url = ""
        self.monitoring_url = ""
        self._inherited = inherited
        self._ports_dir = self.store_dir.with_name(f"{self.store_dir.name}.run")
        self._log = self.store_dir.with_name(f"{self.store_dir.name}.log")

    async def __aenter__(self) -> Self:
        """Start; the server answers when this returns."""
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop, and leave nothing but the store."""
        await self.stop()

    async def start(self) -> None:
        """Start the server, on the ports it had before if it had any.

        Raises:
            Misconfigured: it does not come up; with the server's own last word.
        """
        program = find_nats_server()
        self.store_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.rmtree(self._ports_dir, ignore_errors=True)  # a killed server's
        self._ports_dir.mkdir(mode=0o700)
        configuration = self._ports_dir / "nats.conf"
        configuration.write_text(
            CONFIGURATION.format(
                port=_port(self.url),
                monitoring_port=_port(self.monitoring_url),
                ports_dir=self._ports_dir,
                store_dir=self.store_dir,
            )
        )
        self.child = await Child.start(
            "nats-server",
            [str(program), "-c", str(configuration)],
            on_parent_death=signal.SIGTERM,
            log=self._log,
            environ={**ONE_CORE, **os.environ},
            inherited=self._inherited,
        )
        ports = await self._wait_until_ready(self.child)
        self.url, self.monitoring_url = ports.nats[0], ports.monitoring[0]

    async def stop(self) -> None:
        """Stop, and remove the ports file."""
        if self.child is not None:
            await self.child.stop(signal.SIGTERM, deadline_s=STOP_DEADLINE_S)
        shutil.rmtree(self._ports_dir, ignore_errors=True)

    async def _wait_until_ready(self, child: Child) -> _Ports:
        ports_file = self._ports_dir / f"nats-server_{child.pid}.ports"
        deadline = time.monotonic() + START_DEADLINE_S
        while True:
            try:
                ports = msgspec.json.decode(ports_file.read_bytes(), type=_Ports)
                if ports.nats and ports.monitoring:
                    return ports
            except (OSError, msgspec.DecodeError):  # not there yet, or half written
                pass
            if child.exit_code is not None or time.monotonic() > deadline:
                raise Misconfigured(f"nats-server did not start: {self.last_word()}")
            await asyncio.sleep(0.005)

    def last_word(self) -> str:
        """Return the newest line of the server's log."""
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return (lines or ["it said nothing"])[-1]


def _port(url: str) -> str:
    """Return the port of a URL; "-1" (any) when there is none yet."""
    return url.rpartition(":")[2] or "-1"
