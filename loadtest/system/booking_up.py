"""The system as a child process: `booking up` in the laboratory, on a throw-away directory, with the settings of one arm.

It is started and stopped from outside like anybody would: a command, a line that says it is ready, SIGTERM. Whatever happens to this process,
the child does not outlive it (it is told whose child it is and asks the kernel).
"""

import asyncio
import contextlib
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from loadtest.failures import CannotRunError
from loadtest.system.child_processes import end

READY = re.compile(rb"booking is ready at (http://\S+)")
READY_DEADLINE_S = 60.0
# `booking up` promises to be gone within ten seconds of SIGTERM.
STOP_DEADLINE_S = 12.0
EXPLAINED = 2
RUN_FILE = "run.json"
POLL_EVERY_S = 0.02
# Where Postgres is found is a matter of the machine, not of somebody's system.
OF_THE_MACHINE = ("BOOKING_PG_BIN",)


@contextlib.asynccontextmanager
async def booking_up(
    data_dir: Path,
    *,
    settings: Mapping[str, str],
    log_file: Path,
    parts: str | None = None,
    beside: Callable[[], Awaitable[None]] | None = None,
) -> AsyncIterator[str]:
    """Runs `booking up` and yields its URL; on leaving it has ended.

    Args:
        data_dir: kept by the caller, so that the next one may continue on it.
        settings: environment variables of this arm; no other BOOKING_ or PROJECTOR_ setting of the caller's environment gets through.
        log_file: where its standard error goes.
        parts: only these parts, as `--parts` takes them; None for all.
        beside: awaited when the servers run and before everything has to be ready: starts what was left out of `parts`.

    Raises:
        CannotRunError: it ended, or did not get ready or end in time; the sentence quotes its last words or says where they are.
    """
    only = ("--parts", parts) if parts is not None else ()
    with log_file.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "booking.cli", "up", "--port", "0", "--data-dir", str(data_dir), *only),
            env=environment(os.environ, settings),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            # Its own session: ctrl-C reaches us only, and we end it in order.
            start_new_session=True,
        )
    try:
        if beside is not None:
            await _servers_run(process, data_dir, log_file)
            await beside()
        yield await _ready(process, log_file)
        # Said only where all went well: whatever failed before, or an interruption, is what is to be told.
        if not await end(process, within_s=STOP_DEADLINE_S):
            raise CannotRunError(
                f"`booking up` did not end within {STOP_DEADLINE_S:.0f} s and was killed: see {log_file}."
            )
    finally:
        await end(process, within_s=STOP_DEADLINE_S)


def environment(own: Mapping[str, str], settings: Mapping[str, str]) -> dict[str, str]:
    """The child's environment: ours without settings of some other system, plus those of this arm."""
    kept = {
        name: value
        for name, value in own.items()
        if not name.startswith(("BOOKING_", "PROJECTOR_")) or name in OF_THE_MACHINE
    }
    own_pid = {"BOOKING_PARENT_PID": str(os.getpid())}
    return kept | own_pid | {"BOOKING_ENVIRONMENT": "laboratory"} | dict(settings)


async def _servers_run(process: asyncio.subprocess.Process, data_dir: Path, log_file: Path) -> None:
    """Waits for the run file of this very process; one of a killed predecessor may lie there."""
    ends_s = time.monotonic() + READY_DEADLINE_S
    while process.returncode is None and time.monotonic() < ends_s:
        with contextlib.suppress(OSError, msgspec.DecodeError):
            if read_run_file(data_dir / RUN_FILE).pid == process.pid:
                return
        await asyncio.sleep(POLL_EVERY_S)
    raise CannotRunError(_last_words(process.returncode, log_file))


class RunFile(Struct):
    """What `booking up` says about itself; of its members those an experiment needs."""

    pid: int
    nats_url: str
    migration_database_url: str
    metrics_url: str
    postgres_bin: str | None = None


def read_run_file(path: Path) -> RunFile:
    """A run file.

    Raises:
        OSError: there is none.
        msgspec.DecodeError: it is none.
    """
    return msgspec.json.decode(path.read_bytes(), type=RunFile)


async def _ready(process: asyncio.subprocess.Process, log_file: Path) -> str:
    assert process.stdout is not None  # noqa: S101 -- a pipe was asked for; narrows the type
    try:
        async with asyncio.timeout(READY_DEADLINE_S):
            async for line in process.stdout:
                if found := READY.search(line):
                    return found[1].decode()
            await process.wait()
    except TimeoutError:
        raise CannotRunError(
            f"`booking up` was not ready within {READY_DEADLINE_S:.0f} s: see {log_file}."
        ) from None
    raise CannotRunError(_last_words(process.returncode, log_file))


def _last_words(code: int | None, log_file: Path) -> str:
    """A mistake it knows is one sentence and exit code 2; anything else is a fault, to be read in full."""
    lines = log_file.read_text(errors="replace").strip().splitlines()
    if code == EXPLAINED and lines:
        return f"`booking up` could not start: {lines[-1]}"
    return f"`booking up` ended with exit code {code} before it was ready: see {log_file}."
