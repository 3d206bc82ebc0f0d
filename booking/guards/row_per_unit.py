"""A row for every unit, and SKIP LOCKED: take any that nobody else is taking.

What it protects: the capacity, since a unit that does not exist cannot be taken. How: free rows are
locked without waiting, those that others have locked are passed by, and it is enough to find as many
as are wanted. What it costs: a row per unit to make and to write (a slot may have 1,000,000), and
honesty: a unit that somebody is about to *not* buy is passed by like a sold one. Where it breaks: the
last buyers are told "sold out" while units come free again a moment later (false sold-outs), and two
who want two of three may both be refused.

The slot's counters follow only, because events tell them; they make buyers of one slot queue again,
which a system made of nothing but unit rows would not.
"""

from collections.abc import Sequence

import asyncpg

from booking.commands.command import Command, Decision
from booking.guards.bookkeeping import Move, Short, keep

# All that were asked for, or none.
TAKE_FREE = """
WITH free AS MATERIALIZED (
    SELECT number FROM laboratory.unit WHERE slot_id = $1 AND booking_id IS NULL
    ORDER BY number LIMIT $3 FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE laboratory.unit AS u SET booking_id = $2 FROM free
    WHERE u.slot_id = $1 AND u.number = free.number AND (SELECT count(*) FROM free) = $3
    RETURNING u.number
)
SELECT (SELECT count(*) FROM free) AS found, (SELECT count(*) FROM taken) AS taken,
       (SELECT version FROM booking.slot WHERE slot_id = $1) AS version
"""
GIVE_BACK = "UPDATE laboratory.unit SET booking_id = NULL WHERE slot_id = $1 AND booking_id = $2"


async def take(connection: asyncpg.Connection, commands: Sequence[Command]) -> list[Decision]:
    """Decide commands in a transaction of their own."""
    return await keep(connection, commands, grant)


async def grant(connection: asyncpg.Connection, move: Move) -> Short | None:
    """Take free units that nobody is looking at, or give the booking's back."""
    if move.units < 0:
        await connection.execute(GIVE_BACK, move.slot_id, move.booking_id)
        return None
    units = await connection.fetchrow(TAKE_FREE, move.slot_id, move.booking_id, move.units)
    if units is None:
        raise AssertionError("A statement without FROM has answered no row.")
    if units["taken"] < move.units:
        return Short(units["found"], units["version"])
    return None
