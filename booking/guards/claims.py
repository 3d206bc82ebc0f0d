"""What the lock-then-count guards count: one claim per booking and slot, in a table of their own.

Nothing here protects anything. Counting what is there and adding to it is safe only while nobody
else adds, and only for who sees all that was added before; a guard that uses this has to see to
both. Counting costs more with every booking the slot has.
"""

import asyncpg

from booking.guards.bookkeeping import Move, Short

# One's own claim does not count: the first half of a transaction may be run again.
COUNT = """
SELECT s.capacity + s.overbooking_units - coalesce(sum(c.units), 0)::integer AS remaining, s.version
FROM booking.slot AS s
LEFT JOIN laboratory.claim AS c ON c.slot_id = s.slot_id AND c.booking_id <> $2
WHERE s.slot_id = $1
GROUP BY s.slot_id
"""
CLAIM = """
INSERT INTO laboratory.claim (slot_id, booking_id, units) VALUES ($1, $2, $3)
ON CONFLICT ON CONSTRAINT one_claim_per_slot DO NOTHING
"""
DISCLAIM = "DELETE FROM laboratory.claim WHERE slot_id = $1 AND booking_id = $2"


async def claim(connection: asyncpg.Connection, move: Move) -> Short | None:
    """Count, and claim the units if they are left; or give the booking's claim back."""
    if move.units < 0:
        await connection.execute(DISCLAIM, move.slot_id, move.booking_id)
        return None
    left = await connection.fetchrow(COUNT, move.slot_id, move.booking_id)
    if left is None:
        return Short(0, 0)  # there is no such slot, which the bookkeeping says before this is asked
    if left["remaining"] < move.units:
        return Short(*left)
    await connection.execute(CLAIM, move.slot_id, move.booking_id, move.units)
    return None
