"""Brings a database's schema to the state of a folder of numbered `.sql` files.

Each component (write side, read side) has its own history in one table. Any number of processes
may start at once: one applies, the others wait and find nothing to do. A file that was changed
after it had been applied is drift, and refused. Going back is left to backups.
"""

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path

import asyncpg

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
APPLIED = "SELECT name, sha256 FROM migrations.applied WHERE component = $1"
REMEMBER = "INSERT INTO migrations.applied (component, name, sha256) VALUES ($1, $2, $3)"


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
            was changed, or another process held the lock for longer than `LOCK_DEADLINE_S`.
    """
    try:
        connection = await asyncpg.connect(url, timeout=10)
    except (OSError, TimeoutError, asyncpg.PostgresError, ValueError) as error:
        raise Misconfigured(
            f"The database of {variable} cannot be reached ({error}): start it or correct the URL."
        ) from error
    try:
        await _lock(connection)
        await connection.execute(HISTORY)
        known = {row["name"]: row["sha256"] for row in await connection.fetch(APPLIED, component)}
        applied = []
        for file in sorted(folder.glob("*.sql")):  # noqa: ASYNC240 - a dozen local files, once
            text = file.read_text(encoding="utf-8")
            digest = hashlib.sha256(text.encode()).hexdigest()
            if known.get(file.name) == digest:
                continue
            if file.name in known:
                raise Misconfigured(
                    f"{component}/{file.name} was changed after it had been applied: restore the "
                    "file and put the change into a new one with the next number."
                )
            progress(f"{component}/{file.name}")
            async with connection.transaction():
                await connection.execute(text)
                await connection.execute("RESET ROLE")
                await connection.execute(REMEMBER, component, file.name, digest)
            applied.append(file.name)
        return applied
    except asyncpg.InsufficientPrivilegeError as error:
        raise Misconfigured(
            f"The login of {variable} may not migrate ({error}): use one that may create roles "
            "and schemas in this database."
        ) from error
    finally:
        await connection.close(timeout=10)


async def _lock(connection: asyncpg.Connection) -> None:
    """Be the only migrating process; the lock goes with the connection."""
    async with asyncio.timeout(LOCK_DEADLINE_S):
        while not await connection.fetchval(TRY_LOCK, _LOCK):  # noqa: ASYNC110 - the database has no event to wait for
            await asyncio.sleep(0.05)
