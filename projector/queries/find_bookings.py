"""Bookings of a customer, or of a slot (the list at the door), newest first."""

from uuid import UUID

import asyncpg

from projector.queries.found import CHECKPOINT, Found, found
from projector.queries.get_booking import (
    BOOKING_COLUMNS,
    BOOKING_IS_SUSPECT,
    LINES,
    BookingView,
    booking_of,
)

# A booking whose making could not be taken in, or that went to this customer unseen.
BOOKINGS_OF_CUSTOMER = f"""
SELECT {CHECKPOINT}, b.*, EXISTS (
           SELECT FROM read_model.suspect_booking JOIN read_model.dead_letter AS d USING (booking_id)
           WHERE strpos(d.payload, ($1::uuid)::text) > 0) AS lacks_some
FROM read_model.checkpoint AS c LEFT JOIN LATERAL (
    SELECT {BOOKING_COLUMNS}, l.*, b.created_position, {BOOKING_IS_SUSPECT} AS suspect
    FROM (SELECT * FROM read_model.booking AS b
          WHERE b.customer_id = $1 AND ($2::text IS NULL OR b.state = $2)
            AND ($3::bigint IS NULL OR b.created_position < $3)
          ORDER BY b.created_position DESC LIMIT $4) AS b
    LEFT JOIN LATERAL {LINES} AS l ON true
    ORDER BY b.created_position DESC) AS b ON true
ORDER BY b.created_position DESC
"""

BOOKINGS_OF_SLOT = f"""
SELECT {CHECKPOINT}, b.*, EXISTS (
           SELECT FROM read_model.suspect_booking JOIN read_model.dead_letter AS d USING (booking_id)
           WHERE $1 = ANY (d.slot_ids)) AS lacks_some
FROM read_model.checkpoint AS c LEFT JOIN LATERAL (
    SELECT {BOOKING_COLUMNS}, l.*, b.created_position, {BOOKING_IS_SUSPECT} AS suspect
    FROM (SELECT b.* FROM read_model.booking_line AS door
          JOIN read_model.booking AS b USING (booking_id)
          WHERE door.slot_id = $1 AND ($2::text IS NULL OR b.state = $2)
            AND ($3::bigint IS NULL OR door.created_position < $3)
          ORDER BY door.created_position DESC LIMIT $4) AS b
    LEFT JOIN LATERAL {LINES} AS l ON true
    ORDER BY b.created_position DESC) AS b ON true
ORDER BY b.created_position DESC
"""


async def bookings_of_customer(
    read_model: asyncpg.Pool,
    customer_id: UUID,
    *,
    state: str | None,
    before: int | None,
    limit: int,
) -> Found[list[tuple[int, BookingView]]]:
    """At most `limit` bookings made before a position, each with the position that made it."""
    return _bookings(
        await read_model.fetch(BOOKINGS_OF_CUSTOMER, customer_id, state, before, limit)
    )


async def bookings_of_slot(
    read_model: asyncpg.Pool, slot_id: UUID, *, state: str | None, before: int | None, limit: int
) -> Found[list[tuple[int, BookingView]]]:
    """At most `limit` bookings made before a position, each with the position that made it."""
    return _bookings(await read_model.fetch(BOOKINGS_OF_SLOT, slot_id, state, before, limit))


def _bookings(rows: list[asyncpg.Record]) -> Found[list[tuple[int, BookingView]]]:
    return found(
        rows[0],
        [
            (row["created_position"], booking_of(row))
            for row in rows
            if row["booking_id"] is not None
        ],
        suspect=any(row["lacks_some"] or row["suspect"] for row in rows),
    )
