"""Bookings with their lines, for the customer who asks and for the list at the door.

A booking made in this batch is written whole and at once in its newest state; what happened to an
older one is written as a change. Each later event names only what it changed, so this projection
relies on the checkpoint: every event of a booking is folded in, in order, or none.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import ClassVar
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
from projector.projections.read_model import Fold, ReadModel, Write, column

TAKE_BOOKINGS = f"""
INSERT INTO read_model.booking AS b (booking_id, customer_id, state, version, expires_at,
    created_at, updated_at, created_position)
SELECT * FROM unnest($1::text::uuid[], $2::text::uuid[], $3::text::text[], $4::text::bigint[],
    $5::text::timestamptz[], $6::text::timestamptz[], $7::text::timestamptz[],
    $8::text::bigint[])
ON CONFLICT (booking_id) DO UPDATE
SET customer_id = excluded.customer_id, state = excluded.state, version = excluded.version,
    expires_at = excluded.expires_at, updated_at = excluded.updated_at
WHERE {newer_version_only("b", "excluded")}
"""

TAKE_LINES = """
INSERT INTO read_model.booking_line (booking_id, slot_id, units, created_position)
SELECT * FROM unnest($1::text::uuid[], $2::text::uuid[], $3::text::int[], $4::text::bigint[])
ON CONFLICT (booking_id, slot_id) DO NOTHING
"""

CHANGE_BOOKINGS = f"""
UPDATE read_model.booking AS b
SET version = n.version, updated_at = n.updated_at, state = coalesce(n.state, b.state),
    expires_at = CASE WHEN n.state IS NULL THEN b.expires_at ELSE n.expires_at END,
    customer_id = coalesce(n.customer_id, b.customer_id)
FROM unnest($1::text::uuid[], $2::text::bigint[], $3::text::timestamptz[], $4::text::text[],
    $5::text::timestamptz[], $6::text::uuid[])
    AS n(booking_id, version, updated_at, state, expires_at, customer_id)
WHERE b.booking_id = n.booking_id AND {newer_version_only("b", "n")}
"""

# Lines are replaced as a whole: what the newest event names stays or comes, all else goes.
LEAVE_LINES = """
DELETE FROM read_model.booking_line WHERE booking_id = ANY($1::text::uuid[])
"""

MOVE_LINES = """
INSERT INTO read_model.booking_line (booking_id, slot_id, units, created_position)
SELECT b.booking_id, n.slot_id, n.units, b.created_position
FROM unnest($1::text::uuid[], $2::text::uuid[], $3::text::int[]) AS n(booking_id, slot_id, units)
JOIN read_model.booking AS b USING (booking_id)
"""


class NewBooking(Struct, frozen=True):
    """A booking made in this batch: the event that made it, and where it stands in the log."""

    booking_id: UUID
    taken: BookingTaken
    created_position: int
    created_at: datetime


class BookingChange(Struct, kw_only=True):
    """What became of a booking since; None where nothing did (`expires_at` goes with `state`)."""

    version: int
    updated_at: datetime
    state: str | None = None
    expires_at: datetime | None = None
    customer_id: UUID | None = None
    lines: list[BookedLine] | None = None


class Bookings(ReadModel):
    """Bookings made or changed in a batch."""

    TABLES = ("booking_line", "booking")

    def __init__(self) -> None:
        self._taken: dict[UUID, NewBooking] = {}
        self._changes: dict[UUID, BookingChange] = {}

    def taken(self, event: Event, fact: BookingTaken) -> None:
        """A hold was placed, a booking made at once, or a hold confirmed."""
        if fact.before is None:
            booking_id = _booking_id(event)
            self._taken[booking_id] = NewBooking(
                booking_id, fact, event.position, event.recorded_at
            )
        else:
            change = self._change(event, fact.version)
            change.state, change.expires_at = fact.state, fact.expires_at

    def extended(self, event: Event, fact: HoldExtended) -> None:
        """A hold lives longer."""
        change = self._change(event, fact.version)
        change.state, change.expires_at = "held", fact.expires_at

    def ended(self, event: Event, fact: BookingEnded) -> None:
        """Released, expired or cancelled."""
        change = self._change(event, fact.version)
        change.state, change.expires_at = fact.state, None

    def rescheduled(self, event: Event, fact: BookingRescheduled) -> None:
        """Moved to other lines."""
        self._change(event, fact.version).lines = fact.lines

    def transferred(self, event: Event, fact: BookingTransferred) -> None:
        """Belongs to another customer."""
        self._change(event, fact.version).customer_id = fact.customer_id

    FOLDS: ClassVar[Mapping[str, Fold]] = {
        "HoldPlaced": taken,
        "HoldExtended": extended,
        "HoldReleased": ended,
        "HoldExpired": ended,
        "BookingConfirmed": taken,
        "BookingCancelled": ended,
        "BookingRescheduled": rescheduled,
        "BookingTransferred": transferred,
    }

    def _change(self, event: Event, version: int) -> BookingChange:
        """The change to its booking so far, to be folded on."""
        change = self._changes.setdefault(
            _booking_id(event), BookingChange(version=version, updated_at=event.recorded_at)
        )
        change.version, change.updated_at = version, event.recorded_at
        return change

    def writes(self) -> Iterator[Write]:
        """New bookings in their newest state, then changes to older ones."""
        new = list(self._taken.values())
        if new:
            # What happened to a new booking within the batch is written with it.
            later = [self._changes.get(b.booking_id) for b in new]
            newest = list(zip(new, later, strict=True))
            yield Write(
                TAKE_BOOKINGS,
                (
                    column([b.booking_id for b in new]),
                    column([(c and c.customer_id) or b.taken.customer_id for b, c in newest]),
                    column([(c and c.state) or b.taken.state for b, c in newest]),
                    column([c.version if c else b.taken.version for b, c in newest]),
                    column(
                        [c.expires_at if c and c.state else b.taken.expires_at for b, c in newest]
                    ),
                    column([b.created_at for b in new]),
                    column([c.updated_at if c else b.created_at for b, c in newest]),
                    column([b.created_position for b in new]),
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
                    column([booking_id for booking_id, _, _ in lines]),
                    column([line.slot_id for _, line, _ in lines]),
                    column([line.units for _, line, _ in lines]),
                    column([position for _, _, position in lines]),
                ),
            )
        older = [(key, c) for key, c in self._changes.items() if key not in self._taken]
        if older:
            yield Write(
                CHANGE_BOOKINGS,
                (
                    column([key for key, _ in older]),
                    column([c.version for _, c in older]),
                    column([c.updated_at for _, c in older]),
                    column([c.state for _, c in older]),
                    column([c.expires_at for _, c in older]),
                    column([c.customer_id for _, c in older]),
                ),
            )
        moved: list[tuple[UUID, BookedLine]] = [
            (key, line) for key, c in older if c.lines is not None for line in c.lines
        ]
        if moved:
            booking_ids = column([key for key, _ in moved])
            yield Write(LEAVE_LINES, (booking_ids,), after=True)
            yield Write(
                MOVE_LINES,
                (
                    booking_ids,
                    column([line.slot_id for _, line in moved]),
                    column([line.units for _, line in moved]),
                ),
                after=True,
            )


def _booking_id(event: Event) -> UUID:
    if event.booking_id is None:
        raise ValueError(f"{event.type} at position {event.position} names no booking")
    return event.booking_id
