"""The directory of a server's unix socket: only its owner may enter, and its path is short enough.

It lies beside the data, so that a killed server leaves nothing elsewhere. Where that path is too
long for a socket, it lies in the temporary directory, and a link beside the data leads to it.
"""

import os
import shutil
import tempfile
from pathlib import Path

PATH_MAX = 107
"""Bytes; the kernel's limit for the path of a unix socket."""
PREFIX = "booking-pg-"


def claim(wanted: Path) -> Path:
    """Return a new, empty directory at `wanted`, or elsewhere with a link at `wanted`."""
    release(wanted)
    if _fits(wanted):
        wanted.mkdir(mode=0o700)
        return wanted
    elsewhere = Path(tempfile.mkdtemp(prefix=PREFIX))
    if not _fits(elsewhere):
        elsewhere.rmdir()
        elsewhere = Path(tempfile.mkdtemp(prefix=PREFIX, dir="/tmp"))
    wanted.symlink_to(elsewhere)
    return elsewhere


def release(wanted: Path) -> None:
    """Remove what `claim` made, also what a killed process had claimed."""
    if wanted.is_symlink():
        elsewhere = wanted.readlink()
        if elsewhere.name.startswith(PREFIX):
            shutil.rmtree(elsewhere, ignore_errors=True)
        wanted.unlink()
    else:
        shutil.rmtree(wanted, ignore_errors=True)


def _fits(folder: Path) -> bool:
    """Return whether a socket can lie in `folder`, and a URL can name it (a comma separates hosts)."""
    return len(os.fsencode(folder / ".s.PGSQL.5432")) <= PATH_MAX and "," not in str(folder)
