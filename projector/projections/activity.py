"""Activity: what happened in each hour to the bookings of a resource, counted once.

A booking counts in every resource it has lines in; its units, where they are. Moving a booking
(reschedule, transfer) or extending a hold is none of the five things counted. The counts are sums, so
this projection relies on the checkpoint: each event is folded in once or not at all.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import ClassVar
from uuid import UUID

from msgspec import Struct

from booking.events.envelope import Event
from booking.events.facts import BookingEnded, BookingTaken
from projector.projections.read_model import Fold, ReadModel, Write, column

HOUR = timedelta(hours=1)
COUNTED = ("held", "confirmed", "released", "expired", "cancelled")
"""What is counted, each beside the sum of its units; the state that a booking entered."""


_COLUMNS = [name for counted in COUNTED for name in (counted, f"{counted}_units")]

COUNT_ACTIVITY = f"""
INSERT INTO read_model.activity AS a (resource_id, hour, {", ".join(_COLUMNS)})
SELECT * FROM unnest($1::text::uuid[], $2::text::timestamptz[],
    {", ".join(f"${number}::text::bigint[]" for number in range(3, 3 + len(_COLUMNS)))})
ON CONFLICT (resource_id, hour) DO UPDATE
SET {", ".join(f"{column} = a.{column} + excluded.{column}" for column in _COLUMNS)}
"""


class Counts(Struct):
    """One row; `last` is the event counted last, as a booking counts once for all its lines."""

    columns: list[int]
    last: Event | None = None


class Activity(ReadModel):
    """What a batch adds."""

    TABLES = ("activity",)

    def __init__(self) -> None:
        self._counts: dict[tuple[UUID, datetime], Counts] = {}
        self._hour = self._next_hour = datetime.min.replace(tzinfo=UTC)

    def taken(self, event: Event, fact: BookingTaken) -> None:
        """A hold was placed, a booking made at once, or a hold confirmed."""
        if fact.before is None:
            for slot in event.slots:
                self._count(event, slot.resource_id, fact.state, slot.units)
            return
        # Confirming changes no slot's held + confirmed, so the units stand in the lines.
        units_of_slot = {line.slot_id: line.units for line in fact.lines}
        for slot in event.slots:
            units = units_of_slot.get(slot.slot_id, 0)
            self._count(event, slot.resource_id, fact.state, units)

    def ended(self, event: Event, fact: BookingEnded) -> None:
        """Released, expired or cancelled: the units went back."""
        for slot in event.slots:
            self._count(event, slot.resource_id, fact.state, -slot.units)

    FOLDS: ClassVar[Mapping[str, Fold]] = {
        "HoldPlaced": taken,
        "HoldReleased": ended,
        "HoldExpired": ended,
        "BookingConfirmed": taken,
        "BookingCancelled": ended,
    }

    def _count(self, event: Event, resource_id: UUID, state: str, units: int) -> None:
        at = event.recorded_at
        if not self._hour <= at < self._next_hour:  # events come in order, so this is rare
            self._hour = at.replace(minute=0, second=0, microsecond=0)
            self._next_hour = self._hour + HOUR
        key = (resource_id, self._hour)
        counts = self._counts.get(key)
        if counts is None:
            counts = self._counts[key] = Counts([0] * len(_COLUMNS))
        place = 2 * COUNTED.index(state)
        if counts.last is not event:
            counts.last = event
            counts.columns[place] += 1
        counts.columns[place + 1] += units

    def writes(self) -> Iterator[Write]:
        """What this batch adds to each hour."""
        if self._counts:
            keys = list(self._counts)
            yield Write(
                COUNT_ACTIVITY,
                (
                    column([resource_id for resource_id, _ in keys]),
                    column([hour for _, hour in keys]),
                    *map(column, zip(*(c.columns for c in self._counts.values()), strict=True)),
                ),
            )
