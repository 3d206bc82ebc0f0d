"""Booked: how many lines and units of a resource belong to bookings in each state.

A line is counted, not a booking: a stay of three nights counts three. So an event alone says what
changes, also when a booking moves from one resource to another. Sums, like `activity`.
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar
from uuid import UUID

from booking.events.envelope import Event
from booking.events.facts import BookingEnded, BookingRescheduled, BookingTaken
from projector.projections.read_model import Fold, ReadModel, Write, column

COUNT_BOOKED = """
INSERT INTO read_model.booked AS b (resource_id, state, lines, units)
SELECT * FROM unnest($1::text::uuid[], $2::text::text[], $3::text::bigint[], $4::text::bigint[])
ON CONFLICT (resource_id, state) DO UPDATE
SET lines = b.lines + excluded.lines, units = b.units + excluded.units
"""


class Booked(ReadModel):
    """What a batch adds."""

    TABLES = ("booked",)

    def __init__(self) -> None:
        self._counts: dict[tuple[UUID, str], list[int]] = {}

    def taken(self, event: Event, fact: BookingTaken) -> None:
        """A hold was placed, a booking made at once, or a hold confirmed."""
        if fact.before is None:
            for slot in event.slots:
                self._add(slot.resource_id, fact.state, 1, slot.units)
            return
        # Confirming changes no slot's held + confirmed, so the units stand in the lines.
        units_of_slot = {line.slot_id: line.units for line in fact.lines}
        for slot in event.slots:
            units = units_of_slot.get(slot.slot_id, 0)
            self._add(slot.resource_id, fact.state, 1, units)
            self._add(slot.resource_id, fact.before, -1, -units)

    def ended(self, event: Event, fact: BookingEnded) -> None:
        """Released, expired or cancelled."""
        for slot in event.slots:
            self._add(slot.resource_id, fact.state, 1, -slot.units)
            self._add(slot.resource_id, fact.before, -1, slot.units)

    def rescheduled(self, event: Event, fact: BookingRescheduled) -> None:
        """Moved to other lines: a slot whose units stay is left out of the event, and changes nothing."""
        lines = {line.slot_id for line in fact.lines}
        lines_before = {line.slot_id for line in fact.lines_before}
        for slot in event.slots:
            more = (slot.slot_id in lines) - (slot.slot_id in lines_before)
            self._add(slot.resource_id, fact.state, more, slot.units)

    FOLDS: ClassVar[Mapping[str, Fold]] = {
        "HoldPlaced": taken,
        "HoldReleased": ended,
        "HoldExpired": ended,
        "BookingConfirmed": taken,
        "BookingCancelled": ended,
        "BookingRescheduled": rescheduled,
    }

    def _add(self, resource_id: UUID, state: str, lines: int, units: int) -> None:
        counts = self._counts.setdefault((resource_id, state), [0, 0])
        counts[0] += lines
        counts[1] += units

    def writes(self) -> Iterator[Write]:
        """What this batch adds to each state."""
        if self._counts:
            keys = list(self._counts)
            yield Write(
                COUNT_BOOKED,
                (
                    column([resource_id for resource_id, _ in keys]),
                    column([state for _, state in keys]),
                    *map(column, zip(*self._counts.values(), strict=True)),
                ),
            )
