"""As whom Postgres runs, since it refuses to run as root: a ladder of three rungs.

Not root: as we are. Root: inside a user namespace that shows root as an ordinary user, so nothing
is created or given away on the machine. Where that is forbidden (root in a container with the
default seccomp profile): as `nobody`, who then owns the data directory; a copy of the programs is
made where nobody cannot reach them (a virtual environment under root's home).
"""

import os
import pwd
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

from booking.edge.failures import Misconfigured
from booking.embedded.child import KEEP_IDENTITY, Child

NOBODY = 65534


@dataclass(frozen=True, kw_only=True)
class Identity:
    """How to become somebody Postgres accepts, and which programs that somebody can run."""

    leash: str
    programs: Path
    owner_uid: int | None = None
    """Who must own the data directory and the socket directory; None: whoever we are."""


async def find_identity(programs: Path, scratch: Path) -> Identity:
    """Climb the ladder; `scratch` is where a copy of the programs would be put.

    Raises:
        Misconfigured: this machine allows none of the rungs.
    """
    if os.geteuid() != 0:
        return Identity(leash=KEEP_IDENTITY, programs=programs)
    mapped = f"mapped:{_somebody()}"
    if await _runs(mapped, programs):
        return Identity(leash=mapped, programs=programs)
    as_nobody = f"user:{NOBODY}"
    if await _runs(as_nobody, programs):
        return Identity(leash=as_nobody, programs=programs, owner_uid=NOBODY)
    copied = _copy(programs, scratch)
    if await _runs(as_nobody, copied):
        return Identity(leash=as_nobody, programs=copied, owner_uid=NOBODY)
    raise Misconfigured(
        "Postgres does not run as root, and this machine allows no user namespaces and no other user "
        "to work here: start as an ordinary user, choose a --data-dir that everybody may pass through, "
        "or set BOOKING_DATABASE_URL."
    )


def _somebody() -> int:
    """Return a uid that has a name: initdb looks its own name up."""
    known = {entry.pw_uid for entry in pwd.getpwall()} - {0}
    return NOBODY if NOBODY in known or not known else min(known)


async def _runs(identity: str, programs: Path) -> bool:
    probe = await Child.start(
        "postgres --version",
        [str(programs / "postgres"), "--version"],
        on_parent_death=signal.SIGKILL,
        identity=identity,
        log=Path(os.devnull),
    )
    return await probe.wait() == 0


def _copy(programs: Path, scratch: Path) -> Path:
    """Copy the installation, and the libraries its wheel keeps beside the package."""
    installation = programs.parent
    package = installation.parent
    libraries = package.with_name(f"{package.name}.libs")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True, mode=0o755)
    scratch.parent.chmod(scratch.parent.stat().st_mode | 0o001)  # may pass, may not look
    copy = scratch / package.name / installation.name
    shutil.copytree(installation, copy, symlinks=True)
    if libraries.is_dir():
        shutil.copytree(libraries, scratch / libraries.name)
    return copy / programs.name
