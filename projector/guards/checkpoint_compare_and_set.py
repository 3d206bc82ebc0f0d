"""The checkpoint moves only from where its mover believes it stands, with the rows it covers.

Protects the view from a second projector, or one that was paused and woke up (a zombie): whoever
did not see the last move changes no row, whatever it wrote before in its transaction. It does so by
`UPDATE ... WHERE epoch, position, event id and as_of are still mine`, run first in the transaction
that writes the rows: the row lock lets one mover in at a time, and no row back means roll back. It
costs one heap-only update per batch, not per event.
"""

from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID

import asyncpg
from asyncpg.pool import PoolConnectionProxy
from msgspec import Struct
from msgspec.structs import replace

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
ViewState = Literal["running", "rebuilding"]


class Checkpoint(Struct, frozen=True, kw_only=True):
    """How far the read model has heard; `as_of` is None until the first event or heartbeat."""

    epoch: UUID | None
    position: int
    event_id: UUID | None
    as_of: datetime | None
    generation: int
    state: ViewState


class CheckpointMoved(Exception):
    """Another projector moved the checkpoint: what this one knows is old, and nothing was written."""


READ_CHECKPOINT = """
SELECT epoch, position, event_id, as_of, generation, state FROM read_model.checkpoint
"""


async def read_checkpoint(connection: "asyncpg.Pool | Connection") -> Checkpoint:
    """The checkpoint as it stands."""
    row = await connection.fetchrow(READ_CHECKPOINT)
    assert row is not None, "the migration makes the one row of the checkpoint"  # noqa: S101  narrows the type
    return Checkpoint(**dict(row))


# as_of never goes back within an epoch: greatest() ignores nulls.
MOVE_CHECKPOINT = """
UPDATE read_model.checkpoint AS c
SET position = $4, event_id = $5, as_of = greatest(c.as_of, $6), state = $7
WHERE c.epoch = $1 AND c.position = $2 AND c.event_id IS NOT DISTINCT FROM $3
  AND c.as_of IS NOT DISTINCT FROM $8
RETURNING c.as_of, c.generation
"""


async def move_checkpoint(
    connection: "asyncpg.Pool | Connection",
    seen: Checkpoint,
    *,
    position: int,
    event_id: UUID | None,
    as_of: datetime | None,
    state: ViewState,
) -> Checkpoint:
    """Move the checkpoint from `seen`; the same position with a later `as_of` is a move, too.

    Raises:
        CheckpointMoved: it no longer stands at `seen`.
    """
    row = await connection.fetchrow(
        MOVE_CHECKPOINT,
        seen.epoch,
        seen.position,
        seen.event_id,
        position,
        event_id,
        as_of,
        state,
        seen.as_of,
    )
    if row is None:
        raise CheckpointMoved(f"the checkpoint no longer stands at position {seen.position}")
    return Checkpoint(
        epoch=seen.epoch,
        position=position,
        event_id=event_id,
        as_of=row["as_of"],
        generation=row["generation"],
        state=state,
    )


BEGIN_GENERATION = """
UPDATE read_model.checkpoint SET generation = generation + 1 RETURNING generation
"""


async def begin_generation(connection: Connection, now: Checkpoint) -> Checkpoint:
    """Let go of all rows held in memory; in the transaction that moved the checkpoint to `now`."""
    generation = await connection.fetchval(BEGIN_GENERATION)
    return replace(now, generation=generation)
