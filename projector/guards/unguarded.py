"""What happens without the guards of the read side, each mistake as it is usually made.

Chosen by PROJECTOR_GUARD, refused outside the laboratory. Everything else stays the product's, so
what is seen is the missing guard's.
"""

import re
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import ClassVar
from uuid import UUID

import asyncpg
from msgspec.structs import replace

from booking.edge.database import DatabaseClock, NoDatabaseTime
from booking.events.envelope import Event
from booking.events.facts import BookingEnded, BookingRescheduled, BookingTaken, SlotOpened
from projector.consumer.order import Arrival, Run
from projector.guards.checkpoint_compare_and_set import Checkpoint, Connection, ViewState
from projector.projections import READ_MODELS, table
from projector.projections.availability import OPEN_SLOTS, WHOLE_SLOT, Availability
from projector.projections.read_model import Fold, ReadModel, Write, column


def take_as_it_comes(arrived: deque[Arrival], *, after: int, limit: int) -> Run:  # noqa: ARG001  the guarded way needs `after`
    """Whatever has arrived is the next: repeats are taken again, and nobody misses what is missing."""
    return Run([arrived.popleft() for _ in range(min(limit, len(arrived)))], None)


LAST_VISIBLE = """
SELECT coalesce(max(position), 0) FROM published.events
"""


async def last_visible_position(log: asyncpg.Pool) -> int:
    """The highest number that can be seen now; what commits later under a lower one is passed over."""
    last: int = await log.fetchval(LAST_VISIBLE, timeout=2.0)
    return last


def without_version_gate(sql: str) -> str:
    """The statement with the guard `newer_version_only` taken out: the last arrival wins."""
    return re.sub(r"\b\w+\.version < \w+\.version", "true", sql)


COUNT_SLOTS = f"""
UPDATE read_model.slot AS s
SET state = n.state, capacity = n.capacity, overbooking_units = n.overbooking_units,
    held = s.held + n.held, confirmed = s.confirmed + n.confirmed, version = n.version
FROM unnest($1::text::uuid[], $2::text::text[], $3::text::int[], $4::text::int[],
    $5::text::int[], $6::text::int[], $7::text::bigint[])
    AS n(slot_id, state, capacity, overbooking_units, held, confirmed, version)
WHERE s.slot_id = n.slot_id
RETURNING {WHOLE_SLOT}
"""


class CountedAvailability(ReadModel):
    """Availability by counting what is taken and given back, as if each event came exactly once."""

    TABLES = Availability.TABLES

    def __init__(self) -> None:
        self._writes: list[Write] = []

    def opened(self, event: Event, fact: SlotOpened) -> None:
        """A slot can be booked."""
        for s in event.slots:
            row = (s.slot_id, s.resource_id, fact.starts_at, fact.ends_at, s.state, s.capacity)
            counts = (s.overbooking_units, s.held, s.confirmed, s.version)
            columns = tuple(column([value]) for value in (*row, *counts))
            self._writes.append(Write(without_version_gate(OPEN_SLOTS), columns, slots=True))

    def changed(self, event: Event, _: object) -> None:
        """Resized, closed or reopened."""
        self._count(event, {})

    def taken(self, event: Event, fact: BookingTaken) -> None:
        """Units are held or confirmed; confirming a hold moves them from one to the other."""
        column = 0 if fact.state == "held" else 1
        units = {}
        for line in fact.lines:
            counts = [0, 0]
            counts[column] += line.units
            if fact.before is not None:
                counts[0] -= line.units
            units[line.slot_id] = counts
        self._count(event, units)

    def ended(self, event: Event, fact: BookingEnded) -> None:
        """Units go back."""
        self._move(event, fact.before)

    def rescheduled(self, event: Event, fact: BookingRescheduled) -> None:
        """Units move to other slots."""
        self._move(event, fact.state)

    def _move(self, event: Event, state: str) -> None:
        held = state == "held"
        self._count(event, {s.slot_id: [s.units, 0] if held else [0, s.units] for s in event.slots})

    def _count(self, event: Event, units: Mapping[UUID, list[int]]) -> None:
        for s in event.slots:
            held, confirmed = units.get(s.slot_id, (0, 0))
            row = (s.slot_id, s.state, s.capacity, s.overbooking_units, held, confirmed, s.version)
            self._writes.append(
                Write(COUNT_SLOTS, tuple(column([value]) for value in row), slots=True)
            )

    FOLDS: ClassVar[Mapping[str, Fold]] = {
        "SlotOpened": opened,
        "SlotResized": changed,
        "SlotClosed": changed,
        "SlotReopened": changed,
        "HoldPlaced": taken,
        "HoldReleased": ended,
        "HoldExpired": ended,
        "BookingConfirmed": taken,
        "BookingCancelled": ended,
        "BookingRescheduled": rescheduled,
    }

    def writes(self) -> Iterator[Write]:
        """One statement per event and slot, as a handler that is called per event would."""
        yield from self._writes


COUNTED = table(
    tuple(CountedAvailability if model is Availability else model for model in READ_MODELS)
)
"""The product's table, but with counters."""


MOVE_BLINDLY = """
UPDATE read_model.checkpoint AS c
SET position = $1, event_id = $2, as_of = greatest(c.as_of, $3), state = $4
RETURNING c.as_of, c.generation
"""


async def move_checkpoint_blindly(
    connection: Connection,
    seen: Checkpoint,
    *,
    position: int,
    event_id: UUID | None,
    as_of: datetime | None,
    state: ViewState,
) -> Checkpoint:
    """Put the checkpoint where its mover believes it to be, wherever it stands."""
    row = await connection.fetchrow(MOVE_BLINDLY, position, event_id, as_of, state)
    assert row is not None, "the migration makes the one row of the checkpoint"  # noqa: S101  narrows the type
    return replace(
        seen,
        position=position,
        event_id=event_id,
        as_of=row["as_of"],
        generation=row["generation"],
        state=state,
    )


def claimed_now(clock: DatabaseClock, as_of: datetime) -> datetime:
    """The age of an answer by the moment it is given, whatever it was made of."""
    try:
        return clock.now_at_most()
    except NoDatabaseTime:
        return as_of


CLAIM_NOW = """
UPDATE read_model.checkpoint SET as_of = clock_timestamp() RETURNING as_of
"""


async def claim_now(connection: Connection, at: Checkpoint) -> Checkpoint:
    """Say that everything up to now was heard, because something was just written."""
    return replace(at, as_of=await connection.fetchval(CLAIM_NOW))
