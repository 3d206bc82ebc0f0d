"""An own Postgres 18 for one data directory: made if missing, reachable through a unix socket only.

The socket lies in a directory that nobody else may enter, which replaces a password and cannot
collide as a port can. `durable=False` (tests) gives up every promise about a crash of the machine.
"""

import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from booking.edge.failures import Misconfigured
from booking.embedded.binaries import find_postgres
from booking.embedded.child import Child
from booking.embedded.identity import Identity, find_identity

LOGIN = "booking"
DATABASE = "booking"
START_DEADLINE_S = 60
"""Replaying the log after a kill is what may take long."""
PREDECESSOR_DEADLINE_S = 20
STOP_DEADLINE_S = 2.5
SOCKET_DIR_PREFIX = "booking-pg-"

INITDB = (
    *("--username", LOGIN, "--auth", "trust", "--encoding", "UTF8", "--no-instructions"),
    "--no-sync",  # see Postgres.settled
    *("--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
)

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
}
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


class Postgres:
    """A running server: `async with Postgres(data_dir, durable=True) as postgres`."""

    name = "postgres"

    def __init__(self, data_dir: Path, *, durable: bool, inherited: Sequence[int] = ()) -> None:
        """Prepare for `data_dir`; `inherited` file descriptors stay open as long as it runs."""
        self.data_dir = data_dir.absolute()
        self.durable = durable
        self.child: Child | None = None
        self.programs: Path | None = None
        # Not in the data directory: the path of a socket has 107 bytes at most.
        self.socket_dir = Path(tempfile.mkdtemp(prefix=SOCKET_DIR_PREFIX))
        self._inherited = inherited
        self._identity: Identity | None = None
        self._log = self.data_dir.with_name(f"{self.data_dir.name}.log")
        self._socket_link = self.data_dir.with_name(f"{self.data_dir.name}.sockets")
        self._unsynced = self.data_dir.with_name(f"{self.data_dir.name}.unsynced")
        self._syncing: asyncio.Task[None] | None = None

    def url(self, database: str = DATABASE) -> str:
        """Return the URL of one database; its login is a superuser of this server."""
        return f"postgresql://{LOGIN}@/{database}?host={self.socket_dir}"

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

        Raises Misconfigured with the server's own last word when it does not come up.
        """
        programs = find_postgres()
        self.programs = programs
        self.data_dir.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._remember_socket_dir()
        if self._identity is None:
            self._identity = await find_identity(programs, self.socket_dir)
        if not (self.data_dir / "PG_VERSION").is_file():
            await self._make_data_dir(self._identity)
        self._give_to_owner(self.socket_dir)
        self._give_to_owner(self.data_dir)
        await self._wait_for_predecessor()
        settings = SETTINGS | {"unix_socket_directories": str(self.socket_dir)}
        settings |= {} if self.durable else NOT_DURABLE
        self.child = await Child.start(
            "postgres",
            [
                *(str(self._identity.programs / "postgres"), "-D", str(self.data_dir)),
                *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
            ],
            on_parent_death=signal.SIGINT,  # "fast": roll back, write a checkpoint, end
            identity=self._identity.leash,
            log=self._log,
            inherited=self._inherited,
        )
        await self._wait_until_ready(self.child)
        if self._unsynced.exists():
            self._syncing = asyncio.create_task(self._sync(), name="sync-postgres")

    async def settled(self) -> None:
        """Return when a data directory just made is on the disk, and not before.

        initdb would sync the thousand files it has made while everybody waits (0.4 to 0.9 s); so
        it is done beside the start of everything else, and waited for before anything is promised.
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
        shutil.rmtree(self.socket_dir, ignore_errors=True)
        self._socket_link.unlink(missing_ok=True)

    def _remember_socket_dir(self) -> None:
        """Remove the socket directory of a server that was killed, and leave word of ours."""
        if self._socket_link.is_symlink():
            old = self._socket_link.readlink()
            if old != self.socket_dir and old.name.startswith(SOCKET_DIR_PREFIX):
                shutil.rmtree(old, ignore_errors=True)
            self._socket_link.unlink()
        self._socket_link.symlink_to(self.socket_dir)

    async def _make_data_dir(self, identity: Identity) -> None:
        """Run initdb aside and rename, so that a killed initdb never looks like a database."""
        unfinished = self.data_dir.with_name(f"{self.data_dir.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self._give_to_owner(unfinished)
        initdb = await Child.start(
            "initdb",
            [
                *(str(identity.programs / "initdb"), "-D", str(unfinished), *INITDB),
            ],
            identity=identity.leash,
            log=self._log,
            inherited=self._inherited,
        )
        try:
            code = await initdb.wait()
        finally:
            await initdb.stop(signal.SIGKILL)
        if code != 0:
            raise Misconfigured(f"initdb could not make {self.data_dir}: {self.last_word()}")
        if self.durable:
            self._unsynced.touch()
        unfinished.rename(self.data_dir)

    async def _sync(self) -> None:
        await asyncio.to_thread(os.sync)
        self._unsynced.unlink(missing_ok=True)

    async def _wait_for_predecessor(self) -> None:
        """Wait until no other server runs on this directory.

        A pid file whose process is dead is left to Postgres, which then also looks for orphaned
        backends. One whose number belongs to a stranger (any process may bear it after a restart
        of the machine or container) is removed, because Postgres would refuse to start.
        """
        pid_file = self.data_dir / "postmaster.pid"
        deadline = time.monotonic() + PREDECESSOR_DEADLINE_S
        while _lives(pid := _first_number(pid_file)):
            if not _works_in(pid, self.data_dir):
                pid_file.unlink(missing_ok=True)
            elif time.monotonic() > deadline:
                raise Misconfigured(f"Another Postgres (pid {pid}) still runs on {self.data_dir}.")
            else:
                await asyncio.sleep(0.02)

    async def _wait_until_ready(self, child: Child) -> None:
        """Wait for the word `ready` in the server's pid file, as pg_ctl does."""
        pid_file = self.data_dir / "postmaster.pid"
        deadline = time.monotonic() + START_DEADLINE_S
        while not _says_ready(pid_file, child.pid):
            if child.exit_code is not None or time.monotonic() > deadline:
                raise Misconfigured(f"Postgres did not start: {self.last_word()}")
            await asyncio.sleep(0.005)

    def _give_to_owner(self, folder: Path) -> None:
        """On the lowest rung of the ladder the files must belong to the one who runs Postgres."""
        owner = self._identity and self._identity.owner_uid
        if not owner:
            return
        folder.parent.chmod(folder.parent.stat().st_mode | 0o001)  # may pass, may not look
        for ancestor in folder.parents:
            if not ancestor.stat().st_mode & 0o001:
                raise Misconfigured(
                    f"Started by root, Postgres runs as nobody here, who cannot pass {ancestor}: "
                    "choose another --data-dir, or set BOOKING_DATABASE_URL."
                )
        if folder.stat().st_uid == owner:
            return
        for place, _, files in os.walk(folder):
            for name in (place, *(os.path.join(place, file) for file in files)):  # noqa: PTH118
                os.chown(name, owner, owner, follow_symlinks=False)

    def last_word(self) -> str:
        """Return the newest telling line of the server's log."""
        lines = (
            self._log.read_text(errors="replace").strip().splitlines() if self._log.exists() else []
        )
        telling = [line for line in lines if "FATAL" in line or "error" in line.lower()] or lines
        return (telling or ["it said nothing"])[-1]


async def create_database(
    postgres: Postgres, name: str = DATABASE, *, template: str = "template1"
) -> str:
    """Create the database `name` unless it exists, and return its URL."""
    import asyncpg  # noqa: PLC0415 the launcher starts the server while others import

    connection = await asyncpg.connect(postgres.url("postgres"))
    try:
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    except asyncpg.DuplicateDatabaseError:
        pass
    finally:
        await connection.close()
    return postgres.url(name)


def _first_number(file: Path) -> int:
    try:
        return int(file.read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return 0


def _lives(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _says_ready(pid_file: Path, pid: int) -> bool:
    try:
        lines = pid_file.read_text().splitlines()
    except OSError:
        return False
    return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"


def _works_in(pid: int, folder: Path) -> bool:
    """Return whether `folder` is the working directory of `pid`, as it is of a postmaster.

    Where that cannot be seen (no /proc, another user's process) the pid file is believed.
    """
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == folder.resolve()
    except OSError:
        return True
