"""One batch into the read model: fold, then rows and checkpoint in one transaction.

An event that cannot be folded or written is poison. What stands before it is applied, then it is
reported alone, so that the checkpoint stands exactly before it.
"""

from collections import Counter
from collections.abc import Sequence

import asyncpg
import msgspec

from booking.events.envelope import Event
from booking.events.facts import fact
from booking.events.messages import Heartbeat, SlotState
from projector.guards.checkpoint_compare_and_set import Checkpoint, Connection, move_checkpoint
from projector.projections import IGNORED, PROJECTIONS, Changed, writes


class Poison(Exception):
    """An event that this projector cannot take in; the checkpoint stands right before it."""

    def __init__(self, position: int, cause: Exception) -> None:
        super().__init__(f"the event at position {position} cannot be taken in: {cause}")
        self.position = position


class Folded(msgspec.Struct, kw_only=True):
    """Events and what they change; `skipped` counts types that no projection knows."""

    events: Sequence[Event]
    changed: Changed
    skipped: Counter[str]


def fold(events: Sequence[Event]) -> Folded:
    """Fold as many events as can be, from the first on.

    Raises:
        Poison: the very first cannot be folded.
    """
    changed, skipped = Changed(), Counter[str]()
    for number, event in enumerate(events):
        try:
            said = fact(event) if event.type in PROJECTIONS else None
            if said is not None:
                changed.fold(event, said)
            elif event.type not in IGNORED:
                skipped[event.type] += 1
        except (msgspec.MsgspecError, ValueError, TypeError) as error:
            if number == 0:
                raise Poison(event.position, error) from error
            return fold(events[:number])
    return Folded(events=events, changed=changed, skipped=skipped)


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """A committed batch: the checkpoint after it, and the slots it wrote, whole."""

    checkpoint: Checkpoint
    events: int
    slots: list[SlotState]
    skipped: Counter[str]


async def apply(
    connection: Connection,
    seen: Checkpoint,
    events: Sequence[Event],
    *,
    heard: Heartbeat | None,
) -> Applied:
    """Apply a batch that continues `seen`, or the part of it before a poison event.

    `heard` raises `as_of` if it promises nothing beyond what is applied.

    Raises:
        CheckpointMoved: another projector was here; nothing was written.
        Poison: the first event cannot be applied; nothing was written.
    """
    folded = fold(events)
    try:
        return await _write(connection, seen, folded, heard=heard)
    except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
        if len(folded.events) == 1:
            raise Poison(folded.events[0].position, error) from error
    # One of them cannot be written: halve until it stands first and alone.
    half = folded.events[: len(folded.events) // 2]
    return await apply(connection, seen, half, heard=heard)


async def _write(
    connection: Connection,
    seen: Checkpoint,
    folded: Folded,
    *,
    heard: Heartbeat | None,
) -> Applied:
    last = folded.events[-1]
    counts = heard is not None and last.position >= heard.position and heard.at > last.recorded_at
    slots: list[SlotState] = []
    async with connection.transaction():
        moved = await move_checkpoint(
            connection,
            seen,
            position=last.position,
            event_id=last.event_id,
            as_of=heard.at if heard and counts else last.recorded_at,
            state=seen.state,
        )
        for write in writes(folded.changed):
            rows = await connection.fetch(write.sql, *write.parameters)
            if write.slots:
                slots += [SlotState(**row) for row in rows]
    return Applied(checkpoint=moved, events=len(folded.events), slots=slots, skipped=folded.skipped)
