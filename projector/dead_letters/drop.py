"""Doing without an event, for good.

The read model stays as it is without it, and stops doubting what the event concerned. It is written
down which event that was, so that a rebuild and a verification do without it, too.
"""

from projector.dead_letters.letters import DeadLetter, letter_at, settle
from projector.guards.checkpoint_compare_and_set import Connection, begin_generation
from projector.rebuild.shadow import lock_checkpoint

KEEP_DROPPED = """
INSERT INTO read_model.dropped_event (position, event_id, type, reason) VALUES ($1, $2, $3, $4)
ON CONFLICT (position) DO UPDATE
SET event_id = excluded.event_id, type = excluded.type, reason = excluded.reason, dropped_at = now()
"""


async def drop(connection: Connection, position: int) -> DeadLetter:
    """Do without the event at a position.

    Raises:
        NoSuchLetter: it is no dead letter.
    """
    async with connection.transaction():
        standing = await lock_checkpoint(connection)
        letter = await letter_at(connection, position)
        await connection.execute(
            KEEP_DROPPED, letter.position, letter.event_id, letter.type, letter.reason
        )
        await settle(connection, letter)
        await begin_generation(connection, standing)
    return letter
