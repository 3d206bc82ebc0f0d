"""Take a lock that is not a row's, count what is taken, add to it.

What it protects: the capacity, as long as everybody asks for the same lock. How: Postgres gives a
number, here a hash of the slot's id, to one transaction at a time; under READ COMMITTED the count
that follows sees what the last holder has committed. What it costs: as row_lock_then_count; slots
whose hashes are equal wait for each other. Where it breaks: under REPEATABLE READ (its twin,
lock_then_count_repeatable_read), and with any writer that does not know of the lock: nothing ties
it to the row.
"""

from collections.abc import Sequence

import asyncpg

from booking.commands.command import Command, Decision
from booking.guards.bookkeeping import Move, Short, keep
from booking.guards.claims import claim

LOCK = "SELECT pg_advisory_xact_lock(hashtextextended($1::uuid::text, 0))"


async def take(connection: asyncpg.Connection, commands: Sequence[Command]) -> list[Decision]:
    """Decide commands in a transaction of their own."""
    return await keep(connection, commands, grant)


async def grant(connection: asyncpg.Connection, move: Move) -> Short | None:
    """Lock, count, claim; the slot's row is not written, its counters only follow."""
    await connection.execute(LOCK, move.slot_id)
    return await claim(connection, move)
