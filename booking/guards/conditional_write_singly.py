"""The product's condition without its batches: one conditional write per slot, one commit per command.

What it protects: the capacity, as the product does. How: the write itself says that the units must
be there, so Postgres waits for whoever is writing the row, looks at what that left, and then writes
or does not. What it costs: the row stays locked through the rest of the transaction and its flush,
so a hot slot sells one booking per flush. Where it breaks: nowhere; it is slow.
"""

from collections.abc import Sequence

import asyncpg

from booking.attempts import TransactionConflict
from booking.commands.command import Command, Decision
from booking.guards.bookkeeping import Move, Short, keep

WRITE_IF_IT_FITS = """
UPDATE booking.slot SET held = held + $2, confirmed = confirmed + $3, version = version + 1
WHERE slot_id = $1 AND held + confirmed + $2 + $3 <= capacity + overbooking_units
RETURNING resource_id, version, state, capacity, overbooking_units, held, confirmed
"""
LEFT = """
SELECT capacity + overbooking_units - held - confirmed AS remaining, version
FROM booking.slot WHERE slot_id = $1
"""


async def take(connection: asyncpg.Connection, commands: Sequence[Command]) -> list[Decision]:
    """Decide commands in a transaction of their own."""
    return await keep(connection, commands, grant)


async def grant(connection: asyncpg.Connection, move: Move) -> asyncpg.Record | Short:
    """Write the units where they fit.

    Raises:
        TransactionConflict: they did not fit, and do now.
    """
    written = await connection.fetchrow(WRITE_IF_IT_FITS, move.slot_id, move.held, move.confirmed)
    if written is not None:
        return written
    left = await connection.fetchrow(LEFT, move.slot_id)
    if left is None or left["remaining"] >= move.units:
        # A second statement sees more than the first did: units came back in between.
        raise TransactionConflict
    return Short(*left)
