"""Bookings with their lines, for the customer who asks and for the list at the door.

A booking made in this batch is written whole and at once in its newest state; what happened to an
older one is written as a change. Each later event names only what it changed, so this projection
relies on the checkpoint: every event of a booking is folded in, in order, or none.
"""

from collections.abc import Iterator
from typing import cast
from uuid import UUID

from msgspec import Struct

from booking.events.envelope import Event
from booking.events.facts import (
    BookedLine,
    BookingEnded,
    BookingRescheduled,
    BookingTaken,
    BookingTransferred,
    HoldExtended,
)
from projector.guards.newer_version_only import newer_version_only
from projector.projections.changes import BookingChange, Changed, NewBooking, Write


def taken(event: Event, fact: Struct, changed: Changed) -> None:
    """A hold was placed, a booking made at once, or a hold confirmed."""
    fact = cast("BookingTaken", fact)
    if fact.before is None:
        booking_id = _booking_id(event)
        changed.bookings_taken[booking_id] = NewBooking(
            booking_id, fact, event.position, event.recorded_at
        )
    else:
        change = _change(event, fact.version, changed)
        change.state, change.expires_at = fact.state, fact.expires_at


def extended(event: Event, fact: Struct, changed: Changed) -> None:
    """A hold lives longer."""
    fact = cast("HoldExtended", fact)
    change = _change(event, fact.version, changed)
    change.state, change.expires_at = "held", fact.expires_at


def ended(event: Event, fact: Struct, changed: Changed) -> None:
    """Released, expired or cancelled."""
    fact = cast("BookingEnded", fact)
    change = _change(event, fact.version, changed)
    change.state, change.expires_at = fact.state, None


def rescheduled(event: Event, fact: Struct, changed: Changed) -> None:
    """Moved to other lines."""
    fact = cast("BookingRescheduled", fact)
    _change(event, fact.version, changed).lines = fact.lines


def transferred(event: Event, fact: Struct, changed: Changed) -> None:
    """Belongs to another customer."""
    fact = cast("BookingTransferred", fact)
    _change(event, fact.version, changed).customer_id = fact.customer_id


def _booking_id(event: Event) -> UUID:
    if event.booking_id is None:
        raise ValueError(f"{event.type} at position {event.position} names no booking")
    return event.booking_id


def _change(event: Event, version: int, changed: Changed) -> BookingChange:
    """The change to its booking so far, to be folded on."""
    change = changed.bookings.setdefault(
        _booking_id(event), BookingChange(version=version, updated_at=event.recorded_at)
    )
    change.version, change.updated_at = version, event.recorded_at
    return change


TAKE_BOOKINGS = f"""
INSERT INTO read_model.booking AS b (booking_id, customer_id, state, version, expires_at,
    created_at, updated_at, created_position)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::timestamptz[],
    $6::timestamptz[], $7::timestamptz[], $8::bigint[])
ON CONFLICT (booking_id) DO UPDATE
SET customer_id = excluded.customer_id, state = excluded.state, version = excluded.version,
    expires_at = excluded.expires_at, updated_at = excluded.updated_at
WHERE {newer_version_only("b", "excluded")}
"""

TAKE_LINES = """
INSERT INTO read_model.booking_line (booking_id, slot_id, units, created_position)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::int[], $4::bigint[])
ON CONFLICT (booking_id, slot_id) DO NOTHING
"""

CHANGE_BOOKINGS = f"""
UPDATE read_model.booking AS b
SET version = n.version, updated_at = n.updated_at, state = coalesce(n.state, b.state),
    expires_at = CASE WHEN n.state IS NULL THEN b.expires_at ELSE n.expires_at END,
    customer_id = coalesce(n.customer_id, b.customer_id)
FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::text[], $5::timestamptz[], $6::uuid[])
    AS n(booking_id, version, updated_at, state, expires_at, customer_id)
WHERE b.booking_id = n.booking_id AND {newer_version_only("b", "n")}
"""

# Lines are replaced as a whole: what the newest event names stays or comes, all else goes.
LEAVE_LINES = """
DELETE FROM read_model.booking_line WHERE booking_id = ANY($1::uuid[])
"""

MOVE_LINES = """
INSERT INTO read_model.booking_line (booking_id, slot_id, units, created_position)
SELECT b.booking_id, n.slot_id, n.units, b.created_position
FROM unnest($1::uuid[], $2::uuid[], $3::int[]) AS n(booking_id, slot_id, units)
JOIN read_model.booking AS b USING (booking_id)
"""


def writes(changed: Changed) -> Iterator[Write]:
    """New bookings in their newest state, then changes to older ones."""
    new = list(changed.bookings_taken.values())
    if new:
        # What happened to a new booking within the batch is written with it.
        later = [changed.bookings.get(b.booking_id) for b in new]
        newest = list(zip(new, later, strict=True))
        yield Write(
            TAKE_BOOKINGS,
            (
                [b.booking_id for b in new],
                [(c and c.customer_id) or b.taken.customer_id for b, c in newest],
                [(c and c.state) or b.taken.state for b, c in newest],
                [c.version if c else b.taken.version for b, c in newest],
                [c.expires_at if c and c.state else b.taken.expires_at for b, c in newest],
                [b.created_at for b in new],
                [c.updated_at if c else b.created_at for b, c in newest],
                [b.created_position for b in new],
            ),
        )
        lines = [
            (b.booking_id, line, b.created_position)
            for b, c in newest
            for line in ((c.lines if c else None) or b.taken.lines)
        ]
        yield Write(
            TAKE_LINES,
            (
                [booking_id for booking_id, _, _ in lines],
                [line.slot_id for _, line, _ in lines],
                [line.units for _, line, _ in lines],
                [position for _, _, position in lines],
            ),
        )
    older = [(key, c) for key, c in changed.bookings.items() if key not in changed.bookings_taken]
    if older:
        yield Write(
            CHANGE_BOOKINGS,
            (
                [key for key, _ in older],
                [c.version for _, c in older],
                [c.updated_at for _, c in older],
                [c.state for _, c in older],
                [c.expires_at for _, c in older],
                [c.customer_id for _, c in older],
            ),
        )
    moved: list[tuple[UUID, BookedLine]] = [
        (key, line) for key, c in older if c.lines is not None for line in c.lines
    ]
    if moved:
        booking_ids = [key for key, _ in moved]
        yield Write(LEAVE_LINES, (booking_ids,))
        yield Write(
            MOVE_LINES,
            (booking_ids, [line.slot_id for _, line in moved], [line.units for _, line in moved]),
        )
