"""Booked: how many lines and units of a resource belong to bookings in each state.

A line is counted, not a booking: a stay of three nights counts three. So an event alone says what
changes, also when a booking moves from one resource to another. Sums, like `activity`.
"""

from collections.abc import Iterator
from typing import cast
from uuid import UUID

from msgspec import Struct

from booking.events.envelope import Event
from booking.events.facts import BookingEnded, BookingRescheduled, BookingTaken
from projector.projections.changes import Changed, Write


def taken(event: Event, fact: Struct, changed: Changed) -> None:
    """A hold was placed, a booking made at once, or a hold confirmed."""
    fact = cast("BookingTaken", fact)
    units_of_slot = {line.slot_id: line.units for line in fact.lines}
    for slot in event.slots:
        units = units_of_slot.get(slot.slot_id, 0)
        _add(slot.resource_id, fact.state, 1, units, changed)
        if fact.before is not None:
            _add(slot.resource_id, fact.before, -1, -units, changed)


def ended(event: Event, fact: Struct, changed: Changed) -> None:
    """Released, expired or cancelled."""
    fact = cast("BookingEnded", fact)
    for slot in event.slots:
        _add(slot.resource_id, fact.state, 1, -slot.units, changed)
        _add(slot.resource_id, fact.before, -1, slot.units, changed)


def rescheduled(event: Event, fact: Struct, changed: Changed) -> None:
    """Moved to other lines: a slot whose units stay is left out of the event, and changes nothing."""
    fact = cast("BookingRescheduled", fact)
    lines = {line.slot_id for line in fact.lines}
    lines_before = {line.slot_id for line in fact.lines_before}
    for slot in event.slots:
        more = (slot.slot_id in lines) - (slot.slot_id in lines_before)
        _add(slot.resource_id, fact.state, more, slot.units, changed)


def _add(resource_id: UUID, state: str, lines: int, units: int, changed: Changed) -> None:
    counts = changed.booked.setdefault((resource_id, state), [0, 0])
    counts[0] += lines
    counts[1] += units


COUNT_BOOKED = """
INSERT INTO read_model.booked AS b (resource_id, state, lines, units)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[])
ON CONFLICT (resource_id, state) DO UPDATE
SET lines = b.lines + excluded.lines, units = b.units + excluded.units
"""


def writes(changed: Changed) -> Iterator[Write]:
    """What this batch adds to each state."""
    if changed.booked:
        keys = list(changed.booked)
        yield Write(
            COUNT_BOOKED,
            (
                [resource_id for resource_id, _ in keys],
                [state for _, state in keys],
                *zip(*changed.booked.values(), strict=True),
            ),
        )
