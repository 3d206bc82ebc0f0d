"""What the write side reads of its own records without deciding anything, always from the primary.

A command that was answered is found at once. Together with the 5 s deadline and the 4 s statement
time-out, "not found" 10 s after the last attempt is final.
"""

from datetime import datetime
from uuid import UUID

import asyncpg
from msgspec import Struct

RECALL = """
SELECT command, status, location, etag, epoch, "position", recorded_at, answer
FROM booking.recall($1, $2)
"""
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
            be asked now.
    """
    row = await pool.fetchrow(RECALL, caller, command_id)
    return None if row is None else Recalled(*row)


async def token_secret(pool: asyncpg.Pool) -> bytes:
    """What signs consistency tokens."""
    return bytes(await pool.fetchval(TOKEN_SECRET))


async def is_there(pool: asyncpg.Pool) -> bool:
    """Whether the write database answers."""
    return await pool.fetchval(IS_THERE) is not None
