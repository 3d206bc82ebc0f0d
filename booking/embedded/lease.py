"""One `booking up` per data directory, and none while servers of a killed one are still stopping.

Two file locks say so, and the kernel gives both back when their holders die, so nothing has to be
cleaned up: `up.lock` is held by the process alone, `servers.lock` also by everything it starts
(file descriptors are inherited), down to the last backend of Postgres.
"""

import asyncio
import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from booking.edge.failures import Misconfigured

PREDECESSOR_DEADLINE_S = 20


class Lease:
    """`async with Lease(data_dir) as lease`: the directory is ours; pass `lease.servers` on."""

    def __init__(self, data_dir: Path) -> None:
        """Prepare; nothing is touched yet."""
        self.data_dir = data_dir
        self.servers = -1
        self._alone = -1

    async def __aenter__(self) -> Self:
        """Take the directory.

        Raises:
            Misconfigured: another process has it, or what a killed one had started is still there
                after `PREDECESSOR_DEADLINE_S`.
        """
        self._alone = _open(self.data_dir / "up.lock")
        if not _locked(self._alone):
            pid = os.pread(self._alone, 32, 0).decode() or "unknown"
            os.close(self._alone)
            raise Misconfigured(
                f"`booking up` already runs on {self.data_dir} (pid {pid}): "
                "stop it, or choose another directory with --data-dir."
            )
        os.ftruncate(self._alone, 0)
        os.pwrite(self._alone, str(os.getpid()).encode(), 0)
        self.servers = _open(self.data_dir / "servers.lock")
        deadline = time.monotonic() + PREDECESSOR_DEADLINE_S
        while not _locked(self.servers):
            if time.monotonic() > deadline:
                self._release()
                raise Misconfigured(
                    f"Processes of an earlier `booking up` on {self.data_dir} have not ended "
                    f"within {PREDECESSOR_DEADLINE_S} s: end them, or choose another --data-dir."
                )
            await asyncio.sleep(0.02)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the directory back."""
        self._release()

    def _release(self) -> None:
        os.close(self.servers)
        os.close(self._alone)


def _open(file: Path) -> int:
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Misconfigured(
            f"{file.parent} cannot be written ({error.strerror}): "
            "choose another directory with --data-dir or BOOKING_DATA_DIR."
        ) from error


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
