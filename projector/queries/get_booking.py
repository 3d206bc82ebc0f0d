"""One booking with its lines."""

from datetime import datetime
from uuid import UUID

import asyncpg
from msgspec import Struct

from projector.queries.found import CHECKPOINT, WIDTH, Found, found, only_row


class LineView(Struct, frozen=True, kw_only=True):
    """A line of a booking, with what a customer wants to know of its slot."""

    slot_id: UUID
    resource_id: UUID
    starts_at: datetime
    units: int


class BookingView(Struct, frozen=True, kw_only=True):
    """A booking; suspect when an event of it, or the opening of a line's slot, was not taken in."""

    booking_id: UUID
    customer_id: UUID
    state: str
    version: int
    expires_at: datetime | None
    created_at: datetime
    updated_at: datetime
    lines: list[LineView]
    suspect: bool = False


BOOKING_COLUMNS = """b.booking_id, b.customer_id, b.state, b.version, b.expires_at, b.created_at,
    b.updated_at"""
_WIDTH = 7 + 4  # of the booking and of its lines


def is_suspect(booking_id: str) -> str:
    """Whether one of its events was not taken in, or the opening of a slot that a line of it names."""
    return f"""(
        EXISTS (SELECT FROM read_model.suspect_booking AS q WHERE q.booking_id = {booking_id})
        OR EXISTS (SELECT FROM read_model.booking_line AS l
                   JOIN read_model.suspect_slot AS lost USING (slot_id)
                   WHERE l.booking_id = {booking_id} AND NOT EXISTS (
                       SELECT FROM read_model.slot AS s WHERE s.slot_id = l.slot_id)))"""


BOOKING_IS_SUSPECT = is_suspect("b.booking_id")

# A line whose slot's opening was not taken in is left out: nobody knows when it begins.
LINES = """(
    SELECT array_agg(l.slot_id ORDER BY l.slot_id) AS slot_ids,
           array_agg(s.resource_id ORDER BY l.slot_id) AS resource_ids,
           array_agg(s.starts_at ORDER BY l.slot_id) AS starts_at,
           array_agg(l.units ORDER BY l.slot_id) AS units
    FROM read_model.booking_line AS l JOIN read_model.slot AS s USING (slot_id)
    WHERE l.booking_id = b.booking_id)"""

GET_BOOKING = f"""
SELECT {CHECKPOINT}, {BOOKING_COLUMNS}, l.*, {is_suspect("$1")} AS suspect
FROM read_model.checkpoint AS c LEFT JOIN read_model.booking AS b ON b.booking_id = $1
LEFT JOIN LATERAL {LINES} AS l ON true
"""


async def get_booking(read_model: asyncpg.Pool, booking_id: UUID) -> Found[BookingView | None]:
    """The booking, or None."""
    row = await only_row(read_model, GET_BOOKING, booking_id)
    booking = None if row["booking_id"] is None else booking_of(row)
    return found(row, booking, suspect=row["suspect"])


def booking_of(row: asyncpg.Record) -> BookingView:
    """The booking in a row of checkpoint, `BOOKING_COLUMNS`, `LINES` and a column `suspect`."""
    (
        booking_id,
        customer_id,
        state,
        version,
        expires_at,
        created_at,
        updated_at,
        *lines,
    ) = row[WIDTH : WIDTH + _WIDTH]
    return BookingView(
        booking_id=booking_id,
        customer_id=customer_id,
        state=state,
        version=version,
        expires_at=expires_at,
        created_at=created_at,
        updated_at=updated_at,
        lines=[
            LineView(slot_id=slot_id, resource_id=resource_id, starts_at=starts_at, units=units)
            for slot_id, resource_id, starts_at, units in zip(
                *(column or () for column in lines), strict=True
            )
        ],
        suspect=row["suspect"],
    )
