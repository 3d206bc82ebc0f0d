"""Lock the slot's row, count what is taken, add to it: what most people write first.

What it protects: the capacity. How: whoever counts holds the row's lock until the commit, so nobody
else counts meanwhile; and under READ COMMITTED the count is a statement of its own, begun after the
lock was got, so it sees what the last holder has committed. What it costs: three statements under
the lock instead of one, and a count that grows with the sale. Where it breaks: under REPEATABLE READ
(see lock_then_count_repeatable_read), and with any writer that does not take the lock.
"""

from collections.abc import Sequence

import asyncpg

from booking.commands.command import Command, Decision
from booking.guards.bookkeeping import Move, Short, keep
from booking.guards.claims import claim

LOCK = "SELECT FROM booking.slot WHERE slot_id = $1 FOR NO KEY UPDATE"


async def take(connection: asyncpg.Connection, commands: Sequence[Command]) -> list[Decision]:
    """Decide commands in a transaction of their own."""
    return await keep(connection, commands, grant)


async def grant(connection: asyncpg.Connection, move: Move) -> Short | None:
    """Lock, count, claim; the slot's row is not written, its counters only follow."""
    await connection.execute(LOCK, move.slot_id)
    return await claim(connection, move)
