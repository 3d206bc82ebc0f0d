"""Rows of one history never gate the rows of another.

Protects the view after the log was put back to an older copy: the versions of the lost history are
higher than those that follow, so kept rows would refuse the truth for ever. It puts the checkpoint
before the first event of the new epoch, from where the caller believes it stands, and says
`rebuilding`: from then on nothing that is there is told to anybody, and no projector writes into it.
Only the swap of a rebuild, which throws the old rows away, ends that. It costs a whole fold of the log.
"""

from uuid import UUID

from projector.guards.checkpoint_compare_and_set import (
    Checkpoint,
    CheckpointMoved,
    Connection,
    read_checkpoint,
)

BEGIN_EPOCH = """
UPDATE read_model.checkpoint
SET epoch = $4, position = 0, event_id = NULL, as_of = NULL, generation = generation + 1,
    state = 'rebuilding'
WHERE epoch IS NOT DISTINCT FROM $1 AND position = $2 AND event_id IS NOT DISTINCT FROM $3
RETURNING position
"""


async def begin_epoch(connection: Connection, seen: Checkpoint, epoch: UUID) -> Checkpoint:
    """Stand before the first event of `epoch`, with nothing to tell.

    Raises:
        CheckpointMoved: the checkpoint no longer stands at `seen`.
    """
    async with connection.transaction():
        moved = await connection.fetchrow(
            BEGIN_EPOCH, seen.epoch, seen.position, seen.event_id, epoch
        )
        if moved is None:
            raise CheckpointMoved("another projector met the new epoch first")
        return await read_checkpoint(connection)
