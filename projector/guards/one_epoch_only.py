"""Rows of one history never gate the rows of another.

Protects the view after the log was put back to an older copy: the versions of the lost history are
higher than those that follow, so kept rows would refuse the truth for ever. It empties the read
model and puts the checkpoint before the first event of the new epoch, in one transaction and from
where the caller believes it stands. Readers meanwhile answer `rebuilding`; DELETE, not TRUNCATE,
because a reader whose snapshot is older must still see the old rows with the old position. It
costs a whole fold of the log.
"""

from uuid import UUID

from projector.guards.checkpoint_compare_and_set import (
    Checkpoint,
    CheckpointMoved,
    Connection,
    read_checkpoint,
)
from projector.projections import TABLES

BEGIN_EPOCH = """
UPDATE read_model.checkpoint
SET epoch = $4, position = 0, event_id = NULL, as_of = NULL, generation = generation + 1,
    state = 'rebuilding'
WHERE epoch IS NOT DISTINCT FROM $1 AND position = $2 AND event_id IS NOT DISTINCT FROM $3
RETURNING position
"""

EMPTY_THE_VIEW = tuple(f"DELETE FROM read_model.{table}" for table in TABLES)


async def begin_epoch(connection: Connection, seen: Checkpoint, epoch: UUID) -> Checkpoint:
    """Forget everything and stand before the first event of `epoch`.

    Raises:
        CheckpointMoved: the checkpoint no longer stands at `seen`.
    """
    async with connection.transaction():
        moved = await connection.fetchrow(
            BEGIN_EPOCH, seen.epoch, seen.position, seen.event_id, epoch
        )
        if moved is None:
            raise CheckpointMoved("another projector met the new epoch first")
        for statement in EMPTY_THE_VIEW:
            await connection.execute(statement, timeout=60.0)
        return await read_checkpoint(connection)
