"""A Postgres of the test's own whose every process dies at once, by SIGKILL, and that comes back."""

import contextlib
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from eventually import eventually

from booking.embedded.postgres import Postgres


@asynccontextmanager
async def durable_postgres(folder: Path) -> AsyncIterator[Postgres]:
    """With fsync and synchronous commits, as `booking up` runs it."""
    async with Postgres(folder / "postgres", durable=True) as server:
        await server.settled()
        yield server


async def kill(server: Postgres) -> None:
    """SIGKILL to the postmaster and all its backends; nothing is flushed, nobody says goodbye."""
    family = [server.child.pid, *_children(server.child.pid)]
    for pid in family:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    await server.child.wait()
    await eventually(lambda: not any(_lives(pid) for pid in family))


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _lives(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
