"""The data directory of an embedded Postgres: made once, owned by the right user, used by one server.

Around it lie, with its name as their beginning: the server's log, and a mark while the files of a
new directory are not known to be on the disk yet.
"""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from booking.edge.failures import Misconfigured
from booking.embedded.child import Child
from booking.embedded.identity import Identity

LOGIN = "booking"
PREDECESSOR_DEADLINE_S = 20

INITDB = (
    *("--username", LOGIN, "--auth", "trust", "--encoding", "UTF8", "--no-instructions"),
    *("--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
    # It would sync a thousand files while everybody waits (0.4 to 0.9 s); see `sync`.
    "--no-sync",
)


class DataDirectory:
    """One directory for one server at a time."""

    def __init__(self, path: Path) -> None:
        """Name the directory; nothing is touched yet."""
        self.path = path.absolute()
        self.log = self.beside("log")
        self.unsynced = self.beside("unsynced")
        self.pid_file = self.path / "postmaster.pid"

    def beside(self, ending: str) -> Path:
        """Return the path of a file that belongs to this directory and lies next to it."""
        return self.path.with_name(f"{self.path.name}.{ending}")

    async def prepare(self, identity: Identity, *, inherited: Sequence[int] = ()) -> None:
        """Make it if there is none, give it to whoever runs the server, and wait for a predecessor.

        Raises:
            Misconfigured: it cannot be made, reached, or had.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not (self.path / "PG_VERSION").is_file():
            await self._make(identity, inherited)
        give_to_owner(self.path, identity)
        await self._wait_for_predecessor()

    async def sync(self) -> None:
        """Put a directory just made on the disk; not before that is anything promised of it."""
        if self.unsynced.exists():
            await asyncio.to_thread(os.sync)
            self.unsynced.unlink(missing_ok=True)

    def says_ready(self, pid: int) -> bool:
        """Return whether the server `pid` has written that it accepts connections, as pg_ctl asks."""
        try:
            lines = self.pid_file.read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def last_word(self) -> str:
        """Return the newest telling line of the log."""
        try:
            lines = self.log.read_text(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        telling = [line for line in lines if "FATAL" in line or "error" in line.lower()] or lines
        return (telling or ["it said nothing"])[-1]

    async def _make(self, identity: Identity, inherited: Sequence[int]) -> None:
        """Run initdb aside and rename, so that a killed initdb never looks like a database."""
        unfinished = self.beside("unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        give_to_owner(unfinished, identity)
        initdb = await Child.start(
            "initdb",
            [str(identity.programs / "initdb"), "-D", str(unfinished), *INITDB],
            identity=identity.leash,
            log=self.log,
            inherited=inherited,
        )
        try:
            code = await initdb.wait()
        finally:
            await initdb.stop(signal.SIGKILL)
        if code != 0:
            raise Misconfigured(f"initdb could not make {self.path}: {self.last_word()}")
        self.unsynced.touch()
        unfinished.rename(self.path)

    async def _wait_for_predecessor(self) -> None:
        """Wait until no other server runs on this directory.

        A pid file whose process is dead is left to Postgres, which then also looks for orphaned
        backends. One whose number belongs to a stranger (any process may bear it after a restart
        of the machine or container) is removed, because Postgres would refuse to start.
        """
        deadline = time.monotonic() + PREDECESSOR_DEADLINE_S
        while _lives(pid := _first_number(self.pid_file)):
            if not _works_in(pid, self.path):
                self.pid_file.unlink(missing_ok=True)
            elif time.monotonic() > deadline:
                raise Misconfigured(f"Another Postgres (pid {pid}) still runs on {self.path}.")
            else:
                await asyncio.sleep(0.02)


def give_to_owner(folder: Path, identity: Identity) -> None:
    """Where Postgres runs as somebody else, the files must belong to that one.

    Raises:
        Misconfigured: that one cannot even reach them.
    """
    owner = identity.owner_uid
    if owner is None:
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
        for name in (place, *(os.path.join(place, file) for file in files)):  # noqa: PTH118 - os.walk names them as text
            os.chown(name, owner, owner, follow_symlinks=False)


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


def _works_in(pid: int, folder: Path) -> bool:
    """Return whether `folder` is the working directory of `pid`, as it is of a postmaster.

    Where that cannot be seen (no /proc, another user's process) the pid file is believed.
    """
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == folder.resolve()
    except OSError:
        return True
