"""Check, then act, and leave the rest to SERIALIZABLE: Postgres ends who could not have been alone.

What it protects: the capacity, and any other rule one can write down, without a lock or a condition.
How: transactions see the picture from before their first statement and behave as if they had run one
after the other; one whose picture was no longer true is aborted (40001) and run again. What it costs:
all that an aborted transaction has done, and here nearly every concurrent one is: each writes the
head of the log. Where it breaks: who does not run it again shows people an error; who mixes in one
transaction of a lower level has no protection from that one.
"""

from collections.abc import Sequence

import asyncpg

from booking.commands.command import Command, Decision
from booking.guards.bookkeeping import Move, Short, count_units, keep

READ = """
SELECT capacity + overbooking_units - held - confirmed AS remaining, version
FROM booking.slot WHERE slot_id = $1
"""


async def take(connection: asyncpg.Connection, commands: Sequence[Command]) -> list[Decision]:
    """Decide commands in a transaction of their own.

    Raises:
        asyncpg.SerializationError: somebody else was faster; nothing has happened.
    """
    return await keep(connection, commands, grant, isolation="serializable")


async def grant(connection: asyncpg.Connection, move: Move) -> asyncpg.Record | Short:
    """Look, and write without a condition, as if nobody else were there."""
    slot = await connection.fetchrow(READ, move.slot_id)
    if slot is None:
        raise AssertionError("A slot vanished inside a transaction.")
    if slot["remaining"] < move.units:
        return Short(*slot)
    return await count_units(connection, move)
