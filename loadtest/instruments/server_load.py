"""What a system costs while it works: the CPU of each of its processes, and what its Postgres did, between two readings.

For comparisons. Postgres' own counters trail by up to a second, at both ends of a steady load alike; CPU is the kernel's and does not.
"""

import time
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from loadtest.failures import CannotRunError
from loadtest.instruments.cpu_used import GENERATOR, Used, used_by
from loadtest.instruments.postgres_programs import query
from loadtest.system import System

TRANSACTIONS = """
SELECT xact_commit, xact_rollback FROM pg_stat_database WHERE datname = current_database()
"""


class Reading(Struct, frozen=True, kw_only=True):
    """Counters at a moment: CPU seconds by part, transactions committed and rolled back; asked for at `asked_ns`."""

    asked_ns: int
    at_ns: int
    cpu_s: dict[str, float]
    committed: int
    rolled_back: int


class Load(Struct, frozen=True, kw_only=True):
    """What happened between two readings: milliseconds of CPU per second by part, transactions per second, and how many were rolled back."""

    seconds: float
    cpu_ms_per_s: dict[str, float]
    transactions_per_s: float
    rolled_back: int

    def cpu(self, *parts: str) -> float:
        """Milliseconds of CPU per second of these parts together."""
        return sum(self.cpu_ms_per_s.get(part, 0.0) for part in parts)


class Gauge:
    """Reads the counters of an embedded system."""

    def __init__(self, system: System) -> None:
        """Finds its processes and its Postgres.

        Raises:
            CannotRunError: it is somebody's deployment, or its Postgres is not our child.
        """
        running = system.run_file()
        if running.postgres_bin is None:
            raise CannotRunError("What Postgres does can be read of an embedded one only.")
        self._programs = Path(running.postgres_bin)
        self._url = running.migration_database_url
        self._cpu = used_by(running.pid, "api and queries")

    async def read(self) -> Reading:
        """The counters now.

        Raises:
            CannotRunError: psql was refused.
        """
        asked_ns = time.monotonic_ns()
        committed, rolled_back = await self.ask(TRANSACTIONS)
        return Reading(
            asked_ns=asked_ns,
            at_ns=time.monotonic_ns(),
            cpu_s=self._cpu(),
            committed=int(committed),
            rolled_back=int(rolled_back),
        )

    async def ask(self, statement: str) -> list[str]:
        """The columns of the one row a statement returns, through psql.

        Raises:
            CannotRunError: psql was refused.
        """
        return await query(self._programs, self._url, statement)


def load_between(before: Reading, after: Reading) -> Load:
    """What it was per second."""
    seconds = (after.at_ns - before.at_ns) / 1e9
    return Load(
        seconds=seconds,
        cpu_ms_per_s=_per_second(before.cpu_s, after.cpu_s, seconds),
        transactions_per_s=(after.committed - before.committed) / seconds,
        rolled_back=after.rolled_back - before.rolled_back,
    )


def _per_second(before: Mapping[str, float], after: Used, seconds: float) -> dict[str, float]:
    return {
        part: max(0.0, spent_s - before.get(part, 0.0)) * 1000 / seconds
        for part, spent_s in after.items()
        if part != GENERATOR
    }
