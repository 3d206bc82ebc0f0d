"""Histories: which event made which version of a slot or a booking.

Only positions are kept; the log keeps the events. Every event that touches an entity gives it its next
version, so a history without holes is one that missed nothing.
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar
from uuid import UUID

from booking.events.envelope import Event
from projector.projections.read_model import Fold, ReadModel, Write, column

KEEP_SLOT_EVENTS = """
INSERT INTO read_model.slot_event (slot_id, version, position)
SELECT * FROM unnest($1::text::uuid[], $2::text::bigint[], $3::text::bigint[])
ON CONFLICT (slot_id, version) DO NOTHING
"""

KEEP_BOOKING_EVENTS = """
INSERT INTO read_model.booking_event (booking_id, version, position)
SELECT * FROM unnest($1::text::uuid[], $2::text::bigint[], $3::text::bigint[])
ON CONFLICT (booking_id, version) DO NOTHING
"""


class Histories(ReadModel):
    """Where the events of a batch stand."""

    TABLES = ("slot_event", "booking_event")

    def __init__(self) -> None:
        self._slot_events: list[tuple[UUID, int, int]] = []  # slot, version, position
        self._booking_events: list[tuple[UUID, int, int]] = []  # booking, version, position

    def told(self, event: Event, fact: object) -> None:
        """Something happened to slots, a booking, or both."""
        for slot in event.slots:
            self._slot_events.append((slot.slot_id, slot.version, event.position))
        version = getattr(fact, "version", None)
        if event.booking_id is not None and version is not None:
            self._booking_events.append((event.booking_id, version, event.position))

    FOLDS: ClassVar[Mapping[str, Fold]] = dict.fromkeys(
        (
            *(
                "SlotOpened",
                "SlotResized",
                "SlotClosed",
                "SlotReopened",
                "HoldPlaced",
                "HoldExtended",
            ),
            *("HoldReleased", "HoldExpired", "BookingConfirmed", "BookingCancelled"),
            *("BookingRescheduled", "BookingTransferred"),
        ),
        told,
    )

    def writes(self) -> Iterator[Write]:
        """Where this batch's events stand."""
        for statement, events in (
            (KEEP_SLOT_EVENTS, self._slot_events),
            (KEEP_BOOKING_EVENTS, self._booking_events),
        ):
            if events:
                yield Write(statement, tuple(map(column, zip(*events, strict=True))))
