"""Bookings of a customer, or of a slot (the list at the door), newest first."""

from uuid import UUID

import asyncpg

from projector.queries.found import CHECKPOINT, Found, found
from projector.queries.get_booking import BOOKING_COLUMNS, LINES, BookingView, booking_of

BOOKINGS_OF_CUSTOMER = f"""
SELECT {CHECKPOINT}, b.*
FROM read_model.checkpoint AS c LEFT JOIN LATERAL (
    SELECT {BOOKING_COLUMNS}, l.*, b.created_position
    FROM (SELECT * FROM read_model.booking AS b
          WHERE b.customer_id = $1 AND ($2::text IS NULL OR b.state = $2)
            AND ($3::bigint IS NULL OR b.created_position < $3)
          ORDER BY b.created_position DESC LIMIT $4) AS b
    LEFT JOIN LATERAL {LINES} AS l ON true
    ORDER BY b.created_position DESC) AS b ON true
"""

BOOKINGS_OF_SLOT = f"""
SELECT {CHECKPOINT}, b.*
FROM read_model.checkpoint AS c LEFT JOIN LATERAL (
    SELECT {BOOKING_COLUMNS}, l.*, b.created_position
    FROM (SELECT b.* FROM read_model.booking_line AS door
          JOIN read_model.booking AS b USING (booking_id)
          WHERE door.slot_id = $1 AND ($2::text IS NULL OR b.state = $2)
            AND ($3::bigint IS NULL OR door.created_position < $3)
          ORDER BY door.created_position DESC LIMIT $4) AS b
    LEFT JOIN LATERAL {LINES} AS l ON true
    ORDER BY b.created_position DESC) AS b ON true
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
    )
