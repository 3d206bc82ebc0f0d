"""How much memory the processes of a system have, and whether it grows (Linux)."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from loadtest.system.child_processes import children_of

SAMPLE_EVERY_S = 2.0
# What a command line says, and what its process is called; backends of Postgres are counted together.
NAMES = (
    ("booking.cli relay", "relay"),
    ("projector.cli run", "projector"),
    ("projector.cli api", "queries"),
    ("booking.cli api", "api"),
    ("booking.cli up", "booking up"),
    ("nats-server", "nats"),
    ("postgres", "postgres"),
)


def memory_mb(pid: int) -> dict[str, float]:
    """Proportional memory of a process and all its descendants, by name; empty where the kernel does not tell."""
    found: dict[str, float] = {}
    waiting = [(pid, _command(pid))]
    while waiting:
        one, command = waiting.pop()
        name = next((name for part, name in NAMES if part in command), "other")
        size_mb = _size_mb(one)
        if size_mb is not None:
            found[name] = found.get(name, 0.0) + size_mb
        waiting += children_of(one).items()
    return found


async def sample_memory(pid: int, into: list[tuple[float, dict[str, float]]]) -> None:
    """Appends (monotonic seconds, memory by name) every two seconds, until cancelled."""
    while True:
        into.append((time.monotonic(), memory_mb(pid)))
        await asyncio.sleep(SAMPLE_EVERY_S)


def slope_per_hour(points: Sequence[tuple[float, float]]) -> float:
    """Least squares: by how much y grows in an hour, x being seconds; 0 with fewer than two moments."""
    n = len(points)
    mean_x = sum(x for x, _ in points) / n if n else 0.0
    mean_y = sum(y for _, y in points) / n if n else 0.0
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if not spread:
        return 0.0
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread * 3600


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def _size_mb(pid: int) -> float | None:
    """Shared pages are divided among those who share them, so that the backends of Postgres can be added up."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    except OSError:
        return None
    return None
