"""One batch into the read model: fold, then rows and checkpoint in one transaction of few statements.

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
from projector.guards import ALL_ON, Guard
from projector.guards.checkpoint_compare_and_set import Checkpoint, Connection, move_checkpoint
from projector.guards.dead_letters import SuspectSlots
from projector.guards.unguarded import (
    COUNTED,
    claim_now,
    move_checkpoint_blindly,
    without_version_gate,
)
from projector.projections import IGNORED, THE_PRODUCTS, Changed, Table, at_once, writes

OWN_FAULTS = (msgspec.MsgspecError, ValueError, TypeError, LookupError, ArithmeticError)
"""What folding raises because of what the event says, and will raise again."""
UNWRITABLE = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
"""What the database says of a value; all else (away, busy, out of room) is no event's fault."""


class Poison(Exception):
    """An event that this projector cannot take in; the checkpoint stands right before it."""

    def __init__(self, position: int, cause: Exception) -> None:
        super().__init__(f"the event at position {position} cannot be taken in: {cause}")
        self.position = position
        self.reason = f"{type(cause).__name__}: {cause}"


class Folded(msgspec.Struct, kw_only=True):
    """Events and what they change; `skipped` counts types that no projection knows."""

    events: Sequence[Event]
    changed: Changed
    skipped: Counter[str]


def fold(events: Sequence[Event], of: Table = THE_PRODUCTS) -> Folded:
    """Fold as many events as can be, from the first on.

    Raises:
        Poison: the very first cannot be folded.
    """
    changed, skipped = Changed(of), Counter[str]()
    for number, event in enumerate(events):
        try:
            said = fact(event) if event.type in of.projections else None
            if said is not None:
                changed.fold(event, said)
            elif event.type not in IGNORED:
                skipped[event.type] += 1
        except OWN_FAULTS as error:
            if number == 0:
                raise Poison(event.position, error) from error
            return fold(events[:number], of)
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
    suspects: SuspectSlots,
    guard: Guard = ALL_ON,
) -> Applied:
    """Apply a batch that continues `seen`, or the part of it before a poison event.

    `heard` raises `as_of` if it promises nothing beyond what is applied. `suspects` is kept by the
    caller from batch to batch.

    Raises:
        CheckpointMoved: another projector was here; nothing was written.
        Poison: the first event cannot be applied; nothing was written.
    """
    folded = fold(events, THE_PRODUCTS if guard.newer_version_only else COUNTED)
    try:
        return await _write(connection, seen, folded, heard=heard, suspects=suspects, guard=guard)
    except UNWRITABLE as error:
        if len(folded.events) == 1:
            raise Poison(folded.events[0].position, error) from error
    # One of them cannot be written: halve until it stands first and alone.
    half = folded.events[: len(folded.events) // 2]
    return await apply(connection, seen, half, heard=heard, suspects=suspects, guard=guard)


async def _write(
    connection: Connection,
    seen: Checkpoint,
    folded: Folded,
    *,
    heard: Heartbeat | None,
    suspects: SuspectSlots,
    guard: Guard,
) -> Applied:
    last = folded.events[-1]
    if not guard.newer_version_only:  # nothing is in order
        last = max(folded.events, key=lambda event: event.position)
    counts = heard is not None and last.position >= heard.position and heard.at > last.recorded_at
    behind = not guard.newer_version_only and last.position <= seen.position
    gated = guard.newer_version_only and guard.checkpoint_compare_and_set
    move = move_checkpoint if guard.checkpoint_compare_and_set else move_checkpoint_blindly
    slots: list[SlotState] = []
    async with connection.transaction():
        moved = await move(
            connection,
            seen,
            position=seen.position if behind else last.position,
            event_id=seen.event_id if behind else last.event_id,
            as_of=heard.at if heard and counts else last.recorded_at,
            state=seen.state,
        )
        for write in at_once(list(writes(folded.changed))):
            sql = write.sql if gated else without_version_gate(write.sql)
            rows = await connection.fetch(sql, *write.parameters)
            if write.slots:
                slots += [SlotState(**row) for row in rows]
        moved = await suspects.overtaken(connection, moved, (slot.slot_id for slot in slots))
        if not guard.watermark:
            moved = await claim_now(connection, moved)
    return Applied(checkpoint=moved, events=len(folded.events), slots=slots, skipped=folded.skipped)
