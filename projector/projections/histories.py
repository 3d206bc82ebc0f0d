"""Histories: which event made which version of a slot or a booking.

Only positions are kept; the log keeps the events. Every event that touches an entity gives it its next
version, so a history without holes is one that missed nothing. A slot's is kept in parts of a row each;
a booking's begins with version 2, because the booking itself says where the event stands that made it.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import ClassVar
from uuid import UUID

from booking.events.envelope import Event
from projector.projections.read_model import Fold, ReadModel, Write, column

PART = 32
"""Versions in a row. A batch of a hot slot writes a row for so many events; and a slot that is booked
now and then has a row rewritten for each, which longer ones would make dearer than a row of its own."""

# The array brings its own subscripts, which are the versions, and takes just these places.
KEEP_SLOT_EVENTS = """
INSERT INTO read_model.slot_history AS h (slot_id, part, positions)
SELECT n.slot_id, n.part, n.positions::bigint[]
FROM unnest($1::text::uuid[], $2::text::bigint[], $3::text::text[]) AS n(slot_id, part, positions)
ON CONFLICT (slot_id, part) DO UPDATE
SET positions[array_lower(excluded.positions, 1):array_upper(excluded.positions, 1)]
    = excluded.positions
"""

KEEP_BOOKING_EVENTS = """
INSERT INTO read_model.booking_event (booking_id, version, position)
SELECT * FROM unnest($1::text::uuid[], $2::text::bigint[], $3::text::bigint[])
ON CONFLICT (booking_id, version) DO NOTHING
"""


class Histories(ReadModel):
    """Where the events of a batch stand."""

    TABLES = ("slot_history", "booking_event")

    def __init__(self) -> None:
        # Of a slot and a part: version to position.
        self._slot_events: defaultdict[tuple[UUID, int], dict[int, int]] = defaultdict(dict)
        self._booking_events: list[tuple[UUID, int, int]] = []  # booking, version, position

    def told(self, event: Event, fact: object) -> None:
        """Something happened to slots, a booking, or both."""
        for slot in event.slots:
            part = self._slot_events[slot.slot_id, slot.version // PART]
            part[slot.version] = event.position
        version = getattr(fact, "version", 1)
        if event.booking_id is not None and version > 1:
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
        if self._slot_events:
            yield Write(
                KEEP_SLOT_EVENTS,
                (
                    column([slot_id for slot_id, _ in self._slot_events]),
                    column([part for _, part in self._slot_events]),
                    column([_by_version(positions) for positions in self._slot_events.values()]),
                ),
            )
        if self._booking_events:
            yield Write(
                KEEP_BOOKING_EVENTS, tuple(map(column, zip(*self._booking_events, strict=True)))
            )


def _by_version(positions: Mapping[int, int]) -> str:
    """An array as Postgres writes it, with the versions for subscripts; null where one is missing.

    Events come in order, so what a batch lacks between two versions is not there yet, either.
    """
    first, last = min(positions), max(positions)
    return f"[{first}:{last}]={column([positions.get(n) for n in range(first, last + 1)])}"
