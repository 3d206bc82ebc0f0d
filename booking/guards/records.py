"""The records of commands: read without deciding anything, always from the primary; forgotten in the end.

A command that was answered is found at once. Together with the 5 s deadline and the 4 s statement
time-out, "not found" 10 s after the last attempt is final.
"""

import asyncio
from datetime import datetime
from uuid import UUID

import asyncpg
from msgspec import Struct

RECALL = """
SELECT command, status, location, etag, epoch, "position", recorded_at, answer
FROM booking.recall($1, $2)
"""
FORGET = """
DELETE FROM booking.command_record
WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM booking.command_record
    WHERE kept_since < clock_timestamp() - make_interval(hours => $1)
    ORDER BY kept_since
    LIMIT $2))
"""
RECALL_DEADLINE_S = 5.0
"""As long as a command may wait, its place in the line for a connection included."""
KEPT_HOURS = 24
FORGOTTEN_AT_ONCE_MAX = 1000
"""Small enough for a transaction of milliseconds."""
TOKEN_SECRET = "SELECT secret FROM published.token_secret"  # noqa: S105 - where it is, not what it is
IS_THERE = 'SELECT "position" FROM published.head'


class Recalled(Struct, frozen=True):
    """An accepted command, as its record tells it; fields in the order of the statement."""

    command: str
    status: int
    location: str | None
    etag: int | None
    epoch: UUID
    position: int
    recorded_at: datetime
    answer: str


async def recall(pool: asyncpg.Pool, caller: str, command_id: str) -> Recalled | None:
    """The record of a caller's command, or None when none was accepted.

    Raises:
        asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError: the database cannot
            be asked now, or has not answered within `RECALL_DEADLINE_S`.
    """
    async with asyncio.timeout(RECALL_DEADLINE_S):
        row = await pool.fetchrow(RECALL, caller, command_id)
    return None if row is None else Recalled(*row)


async def forget_old(pool: asyncpg.Pool) -> int:
    """Delete records kept for more than 24 h, in small transactions; how many there were.

    Safe at any time and in several processes: no deciding call waits for a record that old.

    Raises:
        asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError: the database cannot
            be asked now; what was deleted is deleted.
    """
    forgotten = 0
    while True:
        done = int((await pool.execute(FORGET, KEPT_HOURS, FORGOTTEN_AT_ONCE_MAX)).split()[-1])
        forgotten += done
        if done < FORGOTTEN_AT_ONCE_MAX:
            return forgotten


async def token_secret(pool: asyncpg.Pool) -> bytes:
    """What signs consistency tokens."""
    return bytes(await pool.fetchval(TOKEN_SECRET))


async def is_there(pool: asyncpg.Pool) -> bool:
    """Whether the write database answers."""
    return await pool.fetchval(IS_THERE) is not None
