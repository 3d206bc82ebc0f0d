"""NOT A GUARD. The server looks at the read model before it writes, and writes without a condition.

What it protects: only against what the view has already heard. How it fails: between the look and
the write lie all bookings that were made and not yet folded in; each of them is sold a second time.
It looks like a check, is made on the server, with fresh data nearly always, and passes every test in
which one person books at a time. What it costs: one more read, and the oversell of the lag times the
rate at which the slot sells. Where it breaks: at every sell-out.
"""

from collections.abc import Sequence

import asyncpg

from booking.commands.command import Command, Decision
from booking.guards.bookkeeping import Move, Short, count_units, keep

LOOK_AT_THE_VIEW = "SELECT remaining, version FROM read_model.slot WHERE slot_id = $1"


async def take(connection: asyncpg.Connection, commands: Sequence[Command]) -> list[Decision]:
    """Decide commands in a transaction of their own."""
    return await keep(connection, commands, grant)


async def grant(connection: asyncpg.Connection, move: Move) -> asyncpg.Record | Short:
    """Write what the view has left; a slot that the view has not heard of has nothing."""
    if move.units > 0:
        seen = await connection.fetchrow(LOOK_AT_THE_VIEW, move.slot_id)
        if seen is None or seen["remaining"] < move.units:
            return Short(*seen) if seen else Short(0, 0)
    return await count_units(connection, move)
