"""Optimistic locking, as object mappers do it: read, decide in Python, write if nobody else did.

What it protects: the capacity. How: the row is written only at the version that was judged; when it
has moved on, everything is rolled back and begun anew. What it costs: of those who read the same
version one succeeds and all others have worked for nothing, so the more want a slot, the fewer get
anything done. Where it breaks: under load it runs out of time (503) while units are left; and any
second way to write the row that forgets the version opens it again.
"""

from collections.abc import Sequence

import asyncpg

from booking.attempts import TransactionConflict
from booking.commands.command import Command, Decision
from booking.guards.bookkeeping import Move, Short, keep

READ = """
SELECT capacity + overbooking_units - held - confirmed AS remaining, version
FROM booking.slot WHERE slot_id = $1
"""
WRITE_AT_VERSION = """
UPDATE booking.slot SET held = held + $2, confirmed = confirmed + $3, version = version + 1
WHERE slot_id = $1 AND version = $4
RETURNING resource_id, version, state, capacity, overbooking_units, held, confirmed
"""


async def take(connection: asyncpg.Connection, commands: Sequence[Command]) -> list[Decision]:
    """Decide commands in a transaction of their own.

    Raises:
        TransactionConflict: somebody else has written the slot since it was read.
    """
    return await keep(connection, commands, grant)


async def grant(connection: asyncpg.Connection, move: Move) -> asyncpg.Record | Short:
    """Judge the slot as it was read, and write it if it still is so.

    Raises:
        TransactionConflict: somebody else has written it since.
    """
    slot = await connection.fetchrow(READ, move.slot_id)
    if slot is None:
        raise AssertionError("A slot vanished inside a transaction.")
    if slot["remaining"] < move.units:
        return Short(*slot)
    written = await connection.fetchrow(
        WRITE_AT_VERSION, move.slot_id, move.held, move.confirmed, slot["version"]
    )
    if written is None:
        raise TransactionConflict
    return written
