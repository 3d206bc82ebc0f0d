"""Brings a database's schema to the state of a folder of numbered `.sql` files.

Each component (write side, read side) has its own history in one table. Any number of processes
may start at once: one applies, the others wait and find nothing to do. A file that was changed
after it had been applied, or is not there any more, is drift, and refused before anything is applied.
Going back is left to backups.
"""

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path

import asyncpg

from booking.edge.database import UNREACHABLE
from booking.edge.failures import Misconfigured

LOCK_DEADLINE_S = 60.0
"""How long to wait for another process that is migrating; the longest migration must fit."""

_LOCK = 7_265_117_001
"""Any number will do, so long as every migrating process of this project names the same."""

# Taken by trying, not by waiting inside the statement: a waiting session would hold a snapshot,
# and a CREATE INDEX CONCURRENTLY under the lock would wait for that snapshot to end.
TRY_LOCK = "SELECT pg_try_advisory_lock($1)"

HISTORY = """
CREATE SCHEMA IF NOT EXISTS migrations;
CREATE TABLE IF NOT EXISTS migrations.applied (
    component  text        NOT NULL,
    name       text        NOT NULL,
    sha256     text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT applied_once PRIMARY KEY (component, name)
);
"""
APPLIED = "SELECT name, sha256 FROM migrations.applied WHERE component = $1 ORDER BY name"
REMEMBER = "INSERT INTO migrations.applied (component, name, sha256) VALUES ($1, $2, $3)"

BEGIN_ANEW = (
    "begin anew with an empty database (for one of `booking up`, remove the data directory) if it was "
    "made before 0.1.0"
)
"""Until the first release files were rewritten, so there is no way on from what was made by them."""


def _silent(_: str) -> None: ...


async def migrate(
    url: str,
    *,
    component: str,
    folder: Path,
    variable: str = "BOOKING_MIGRATION_DATABASE_URL",
    progress: Callable[[str], None] = _silent,
) -> list[str]:
    """Apply what is missing, each file in its own transaction, and return the names applied.

    `variable` is the setting the url came from; the error names it. `progress` is told each name
    before it is applied.

    Raises:
        Misconfigured: the database cannot be reached, the login lacks a right, an applied file
            was changed or is not known, or another process held the lock for longer than
            `LOCK_DEADLINE_S`.
    """
    try:
        connection = await asyncpg.connect(url, timeout=10)
    except (*UNREACHABLE, ValueError) as error:
        raise Misconfigured(
            f"The database of {variable} cannot be reached ({error}): start it or correct the URL."
        ) from error
    try:
        await _lock(connection)
        await connection.execute(HISTORY)
        known = {row["name"]: row["sha256"] for row in await connection.fetch(APPLIED, component)}
        texts = {
            file.name: file.read_text(encoding="utf-8")
            for file in sorted(folder.glob("*.sql"))  # noqa: ASYNC240 - a dozen local files, once
        }
        _refuse_drift(component, known, texts)
        missing = [name for name in texts if name not in known]
        for name in missing:
            progress(f"{component}/{name}")
            async with connection.transaction():
                await connection.execute(texts[name])
                await connection.execute("RESET ROLE")
                await connection.execute(REMEMBER, component, name, _digest(texts[name]))
        return missing
    except asyncpg.InsufficientPrivilegeError as error:
        raise Misconfigured(
            f"The login of {variable} may not migrate ({error}): use one that may create roles "
            "and schemas in this database."
        ) from error
    finally:
        await connection.close(timeout=10)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _refuse_drift(component: str, known: dict[str, str], texts: dict[str, str]) -> None:
    """Raises Misconfigured when these files do not go on from what was applied."""
    for name, digest in known.items():
        if name not in texts:
            raise Misconfigured(
                f"{component}/{name} was applied by a version this one does not know: "
                f"{BEGIN_ANEW}; otherwise run the version that made it, or a newer one."
            )
        if digest != _digest(texts[name]):
            raise Misconfigured(
                f"{component}/{name} was changed after it had been applied: {BEGIN_ANEW}; "
                "otherwise restore the file and put the change into a new one with the next number."
            )


async def _lock(connection: asyncpg.Connection) -> None:
    """Be the only migrating process; the lock goes with the connection."""
    async with asyncio.timeout(LOCK_DEADLINE_S):
        while not await connection.fetchval(TRY_LOCK, _LOCK):  # noqa: ASYNC110 - the database has no event to wait for
            await asyncio.sleep(0.05)
