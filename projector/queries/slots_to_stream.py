"""The slots of a resource that a live stream follows as a whole."""

from uuid import UUID

import asyncpg

from projector.queries.find_availability import SLOT_IS_SUSPECT, SLOT_MISSING
from projector.queries.found import CHECKPOINT, WIDTH, Found, fill, found
from projector.queries.get_slot import SLOT_COLUMNS, SlotView

SLOTS_OF_RESOURCE = f"""
SELECT {CHECKPOINT}, s.*, {SLOT_MISSING} AS lacks_some
FROM read_model.checkpoint AS c LEFT JOIN LATERAL (
    SELECT {SLOT_COLUMNS}, {SLOT_IS_SUSPECT} AS suspect FROM read_model.slot AS s
    WHERE s.resource_id = $1 ORDER BY s.starts_at, s.slot_id LIMIT $2) AS s ON true
ORDER BY s.starts_at, s.slot_id
"""


async def slots_of_resource(
    read_model: asyncpg.Pool, resource_id: UUID, *, slots_max: int
) -> Found[list[SlotView]]:
    """All slots of a resource, by time, or one more than `slots_max` when there are more."""
    rows = await read_model.fetch(SLOTS_OF_RESOURCE, resource_id, slots_max + 1)
    slots = [fill(SlotView, row[WIDTH:]) for row in rows if row["slot_id"] is not None]
    suspect = rows[0]["lacks_some"] or any(slot.suspect for slot in slots)
    return found(rows[0], slots, suspect=suspect)
