"""An event that cannot be taken in, written down in the shadow as the projector writes it down.

There is no checkpoint to be moved and nobody to be told; all else is the same, statement by
statement. An event that an operator dropped is kept as dropped, and nothing is suspect for it.
"""

from projector.guards.checkpoint_compare_and_set import Connection
from projector.guards.dead_letters import KEEP_LETTER, SUSPECT_BOOKING, SUSPECT_SLOTS
from projector.log_reader import Letter
from projector.rebuild.shadow import in_shadow

DROP_LETTER = """
UPDATE read_model.dead_letter SET dropped_at = now() WHERE position = $1
"""


async def bury_in_shadow(
    connection: Connection, letter: Letter, *, reason: str, dropped: bool
) -> None:
    """Keep it, and what is suspect because of it; belongs into a transaction."""
    await connection.execute(
        in_shadow(KEEP_LETTER),
        letter.position,
        letter.event_id,
        letter.type,
        letter.schema,
        letter.recorded_at,
        letter.booking_id,
        letter.slot_ids,
        letter.payload,
        reason,
    )
    if dropped:
        await connection.execute(in_shadow(DROP_LETTER), letter.position)
        return
    if letter.slot_ids:
        await connection.execute(in_shadow(SUSPECT_SLOTS), letter.slot_ids, letter.position)
    if letter.booking_id is not None:
        await connection.execute(in_shadow(SUSPECT_BOOKING), letter.booking_id, letter.position)
