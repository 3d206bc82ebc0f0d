"""A rebuild from beginning to end: replay, index, catch up, add up, swap.

Readers keep reading what there is, a live projector keeps projecting into it, and neither is told
before the swap. Within an epoch the shadow never goes beyond the live checkpoint, and the swap happens
at exactly its position, so a position never goes back for a reader. In a new epoch nothing that
is there may be read any more: readers are told `rebuilding`, and the swap ends that.
"""

import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from uuid import UUID

import asyncpg
from msgspec import Struct

from booking.edge.progress import Progress, silent
from projector.guards.checkpoint_compare_and_set import Checkpoint, Connection, read_checkpoint
from projector.guards.one_epoch_only import begin_epoch
from projector.log_reader import LogHead, read_event_id, read_head
from projector.rebuild.control import DoesNotAddUp, differences
from projector.rebuild.replay import LogChanged, Replay
from projector.rebuild.shadow import index_shadow, shadow_of_mine, swap_shadow

LITTLE = 500
"""So many events may be left for the swap, during which a live projector waits: some 30 ms."""
ROUNDS_MAX = 100
"""Each round leaves what came while it ran; a projector that outruns a rebuild for so long never ends."""


class NeverCaughtUp(Exception):
    """The live projector kept running away from the rebuild."""


class Rebuilt(Struct, frozen=True, kw_only=True):
    """What a rebuild did."""

    epoch: UUID
    generation: int
    position: int
    left_out: int
    """Events that could not be taken in, or that were dropped."""
    added_up: bool
    """Whether the totals of the rows were held against the log's; not so when events were left out."""
    seconds: float
    events_per_s: int


READ_DROPPED = """
SELECT position, event_id FROM read_model.dropped_event
"""


async def read_dropped(connection: Connection, log: asyncpg.Pool) -> frozenset[int]:
    """The positions whose event an operator decided to do without, if it is still the same."""
    rows = await connection.fetch(READ_DROPPED)
    return frozenset(
        [
            row["position"]
            for row in rows
            if await read_event_id(log, row["position"]) == row["event_id"]
        ]
    )


async def rebuild(
    connection: Connection,
    log: asyncpg.Pool,
    *,
    progress: Progress = silent,
    not_before: Callable[[datetime], Awaitable[None]] | None = None,
) -> Rebuilt:
    """Fold the log anew and make that what is read.

    Args:
        connection: to the read model as `projector_writer`, used for nothing else meanwhile.
        log: the write side's `published.*`.
        progress: told how far it is.
        not_before: waits until what happened at a moment may be known (the laboratory's lag).

    Raises:
        ShadowInUse: another rebuild, or a verification, is under way.
        Overtaken, LogChanged: the log began a new epoch meanwhile; nothing was changed.
        DoesNotAddUp: the shadow is not what the log says; it was not shown.
        ReadersInTheWay, NeverCaughtUp: it could not be shown.
        TooManyDeadLetters: the projections do not fit the log.
    """
    started_s = time.monotonic()
    async with shadow_of_mine(connection):
        head, seen = await read_head(log), await read_checkpoint(connection)
        if seen.epoch != head.epoch:
            seen = await begin_epoch(connection, seen, head.epoch)
        replay = Replay(connection, log, head.epoch, dropped=await read_dropped(connection, log))
        await replay.up_to(_goal(seen, head), progress=progress)
        progress("indexes", 0, 1)
        async for _ in index_shadow(connection):
            progress("indexes", 0, 1)
        progress("indexes", 1, 1)
        head = await _catch_up(connection, log, replay)
        if not replay.left_out:
            found = await differences(connection, replay.totals)
            if found:
                raise DoesNotAddUp("; ".join(map(str, found)))
        if not_before is not None and seen.state == "rebuilding":
            await not_before(head.at)
        shown = await _swap(connection, replay, head)
    seconds = time.monotonic() - started_s
    assert shown.epoch is not None, "the shadow was folded from an epoch"  # noqa: S101  narrows the type
    return Rebuilt(
        epoch=shown.epoch,
        generation=shown.generation,
        position=shown.position,
        left_out=len(replay.left_out),
        added_up=not replay.left_out,
        seconds=round(seconds, 3),
        events_per_s=round(shown.position / max(seconds, 0.001)),
    )


def _goal(seen: Checkpoint, head: LogHead) -> int:
    """Up to where: a live checkpoint is met exactly, one of a new epoch has nothing to be met."""
    return seen.position if seen.state == "running" else head.position


async def _catch_up(connection: Connection, log: asyncpg.Pool, replay: Replay) -> LogHead:
    """Apply what came meanwhile until little is left; answers the log's head as last read."""
    for _ in range(ROUNDS_MAX):
        head, seen = await read_head(log), await read_checkpoint(connection)
        if head.epoch != replay.epoch:
            raise LogChanged("The log began a new epoch meanwhile.")
        goal = _goal(seen, head)
        if goal - replay.reached.position <= LITTLE:
            return head
        await replay.up_to(goal)
    raise NeverCaughtUp(
        f"{ROUNDS_MAX} times more than {LITTLE} events came while the last were read."
    )


async def _swap(connection: Connection, replay: Replay, head: LogHead) -> Checkpoint:
    mark = replay.mark()

    async def meet(standing: Checkpoint) -> tuple[int, UUID | None, datetime | None]:
        replay.return_to(mark)  # a swap that is tried again was rolled back before
        await replay.up_to(_goal(standing, head))
        if standing.state == "rebuilding":
            return replay.reached.position, replay.reached.event_id, head.at
        if (replay.reached.position, replay.reached.event_id) != (
            standing.position,
            standing.event_id,
        ):
            raise LogChanged(f"The log contradicts the checkpoint at position {standing.position}.")
        return standing.position, standing.event_id, None

    return await swap_shadow(connection, epoch=replay.epoch, catch_up=meet)
