"""What it costs here to make a write last: the price that a transaction per booking pays every time, and a batch once.

A disk that is faster than others can be made to cost what others do, by a Postgres that waits before each flush.
"""

import asyncio
import contextlib
import ctypes
import os
import tempfile
import time
from pathlib import Path

FLUSHES = 300
BLOCK_BYTES = 8192
BLOCKS = 64
_PR_SET_TIMERSLACK = 29


class Flushes:
    """What single flushes take here, as the disk is and with a wait before each, looked at beside the measurements."""

    def __init__(self, *, delay_us: int) -> None:
        self.bare_ms: list[float] = []
        self.delayed_ms: list[float] = []
        self._delay_us = delay_us
        if delay_us:
            _wake_on_time()

    async def look(self) -> None:
        """Flush a file of fixed size FLUSHES times, each time after one block was written, as Postgres does."""
        folder = Path(tempfile.gettempdir())
        self.bare_ms += await asyncio.to_thread(_flushes_ms, folder, 0)
        if self._delay_us:
            self.delayed_ms += await asyncio.to_thread(_flushes_ms, folder, self._delay_us)
        else:
            self.delayed_ms = self.bare_ms


def delayed_flushes(delay_us: int) -> list[str]:
    """Statements after which a Postgres waits so long before every flush of its log, whoever commits: a slower disk for all of its clients.

    It wakes late, so what a flush takes then is measured. See commit_delay in Postgres' manual; without commit_siblings
    it would wait only while others are busy.
    """
    return [
        "ALTER SYSTEM SET commit_siblings = 0",
        f"ALTER SYSTEM SET commit_delay = {delay_us}",
        "SELECT pg_reload_conf()",
    ]


def _wake_on_time() -> None:
    """Let threads and processes that begin from now on wake from short sleeps at once: Linux gathers wake-ups otherwise, by up to 0.05 ms.

    See PR_SET_TIMERSLACK in prctl(2); it is inherited.
    """
    with contextlib.suppress(AttributeError):  # other systems
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)


def _flushes_ms(folder: Path, delay_us: int) -> list[float]:
    block = os.urandom(BLOCK_BYTES)
    flush = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync
    taken_ms = []
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        file.write(block * BLOCKS)
        os.fsync(file.fileno())
        for number in range(FLUSHES):
            os.pwrite(file.fileno(), block, number % BLOCKS * BLOCK_BYTES)
            began_s = time.perf_counter()
            if delay_us:
                time.sleep(delay_us / 1_000_000)
            flush(file.fileno())
            taken_ms.append((time.perf_counter() - began_s) * 1000)
    return taken_ms
