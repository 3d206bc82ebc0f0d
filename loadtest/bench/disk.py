"""What it costs here to make a write last: the price that a transaction per booking pays every time, and a batch once.

A disk that is faster than others can be made to cost what others do, by a Postgres that waits before each flush.
"""

import asyncio
import os
import tempfile
import time
from pathlib import Path

from loadtest.driver.percentile import percentile

FLUSHES = 300
BLOCK_BYTES = 8192
BLOCKS = 64


async def fdatasync_p50_ms(folder: Path) -> float:
    """The median of FLUSHES single flushes in `folder`, each after one block was written into a file of fixed size, as Postgres does."""
    return percentile(await asyncio.to_thread(_flushes_ms, folder), 50)


def delayed_flushes(delay_us: int) -> list[str]:
    """Statements after which a Postgres waits so long before every flush of its log, whoever commits: a slower disk for all of its clients.

    It wakes late, by some 0.05 ms on a quiet Linux and by more on a busy one, so a flush takes at least so much longer.
    See commit_delay in Postgres' manual; without commit_siblings it would wait only while others are busy.
    """
    return [
        "ALTER SYSTEM SET commit_siblings = 0",
        f"ALTER SYSTEM SET commit_delay = {delay_us}",
        "SELECT pg_reload_conf()",
    ]


def _flushes_ms(folder: Path) -> list[float]:
    block = os.urandom(BLOCK_BYTES)
    flush = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync
    taken_ms = []
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        file.write(block * BLOCKS)
        os.fsync(file.fileno())
        for number in range(FLUSHES):
            os.pwrite(file.fileno(), block, number % BLOCKS * BLOCK_BYTES)
            began_s = time.perf_counter()
            flush(file.fileno())
            taken_ms.append((time.perf_counter() - began_s) * 1000)
    return taken_ms
