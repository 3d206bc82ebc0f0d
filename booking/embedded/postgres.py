"""An own Postgres 18 for one data directory: made if missing, reachable through a unix socket only.

The socket lies in a directory that nobody else may enter, which replaces a password and cannot
collide as a port can. `durable=False` (tests) gives up every promise about a crash of the machine.
"""

import asyncio
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from booking.edge.failures import Misconfigured
from booking.embedded import socket_directory
from booking.embedded.binaries import find_postgres
from booking.embedded.child import Child
from booking.embedded.data_directory import LOGIN, DataDirectory, give_to_owner
from booking.embedded.identity import Identity, find_identity

DATABASE = "booking"
START_DEADLINE_S = 60
"""Replaying the log after a kill is what may take long."""
STOP_DEADLINE_S = 2.5

SETTINGS = {
    "listen_addresses": "",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # One node without replicas: the log serves crash recovery only.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "15min",
    # Every statement is small and known; planning for parallel or compiled ones costs more, and
    # containers have 64 MB of shared memory for parallel workers.
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    # A hot slot is one row with thousands of versions: tidy up early, often, and without naps.
    "autovacuum_naptime": "5s",
    "autovacuum_vacuum_threshold": "200",
    "autovacuum_vacuum_scale_factor": "0.05",
    "autovacuum_vacuum_cost_delay": "0",
    # A sale only makes tables longer, which changes no plan: at half as much again they are looked at
    # anew, not at every tenth.
    "autovacuum_analyze_scale_factor": "0.5",
}
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


class Postgres:
    """A running server: `async with Postgres(data_dir, durable=True) as postgres`."""

    name = "postgres"

    def __init__(self, data_dir: Path, *, durable: bool, inherited: Sequence[int] = ()) -> None:
        """Prepare for `data_dir`; `inherited` file descriptors stay open as long as it runs."""
        self.data = DataDirectory(data_dir)
        self.durable = durable
        self.child: Child | None = None
        self.programs: Path | None = None
        self.socket_dir: Path | None = None
        self._inherited = inherited
        self._identity: Identity | None = None
        self._syncing: asyncio.Task[None] | None = None

    def url(self, database: str = DATABASE) -> str:
        """Return the URL of one database; its login is a superuser of this server."""
        return f"postgresql://{LOGIN}@/{database}?host={quote(str(self.socket_dir))}"

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
        """Stop, and leave nothing but the data directory."""
        await self.stop()

    async def start(self) -> None:
        """Start the server, making its data directory first if there is none.

        Raises:
            Misconfigured: it does not come up; with the server's own last word.
        """
        self.programs = find_postgres()
        if self._identity is None:
            self._identity = await find_identity(self.programs, self.data.beside("programs"))
        await self.data.prepare(self._identity, inherited=self._inherited)
        if self.socket_dir is None:  # a restart keeps the path, because clients know it
            self.socket_dir = socket_directory.claim(self.data.beside("sockets"))
        give_to_owner(self.socket_dir, self._identity)
        settings = SETTINGS | {"unix_socket_directories": f'"{self.socket_dir}"'}
        settings |= {} if self.durable else NOT_DURABLE
        self.child = await Child.start(
            "postgres",
            [
                *(str(self._identity.programs / "postgres"), "-D", str(self.data.path)),
                *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
            ],
            on_parent_death=signal.SIGINT,  # "fast": roll back, write a checkpoint, end
            identity=self._identity.leash,
            log=self.data.log,
            inherited=self._inherited,
        )
        await self._wait_until_ready(self.child)
        if self.durable:
            self._syncing = asyncio.create_task(self.data.sync(), name="sync-postgres")

    async def settled(self) -> None:
        """Return when a data directory made at this start would survive the machine.

        Whoever promises something waits for this; what merely starts meanwhile need not.
        """
        if self._syncing is not None:
            await asyncio.shield(self._syncing)

    async def stop(self) -> None:
        """Stop ("fast"), and remove the socket directory."""
        if self._syncing is not None:
            self._syncing.cancel()  # what is not on the disk yet is seen to at the next start
        if self.child is not None:
            # Killed, it loses nothing: the next start replays its log, which only takes longer.
            await self.child.stop(signal.SIGINT, deadline_s=STOP_DEADLINE_S)
        if self.socket_dir is not None:
            socket_directory.release(self.data.beside("sockets"))
        shutil.rmtree(self.data.beside("programs"), ignore_errors=True)

    def last_word(self) -> str:
        """Return the newest telling line of the server's log."""
        return self.data.last_word()

    async def _wait_until_ready(self, child: Child) -> None:
        deadline = time.monotonic() + START_DEADLINE_S
        while not self.data.says_ready(child.pid):
            if child.exit_code is not None or time.monotonic() > deadline:
                raise Misconfigured(f"Postgres did not start: {self.last_word()}")
            await asyncio.sleep(0.005)


async def create_database(
    postgres: Postgres, name: str = DATABASE, *, template: str = "template1"
) -> str:
    """Create the database `name` unless it exists, and return its URL."""
    import asyncpg  # noqa: PLC0415 the launcher starts the server while others import

    connection = await asyncpg.connect(postgres.url("postgres"), timeout=10)
    try:
        # Files are copied twice as fast as pages, between two checkpoints: free where none is flushed.
        strategy = "WAL_LOG" if postgres.durable else "FILE_COPY"
        await connection.execute(
            f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY {strategy}', timeout=30
        )
    except asyncpg.DuplicateDatabaseError:
        pass
    finally:
        await connection.close()
    return postgres.url(name)
