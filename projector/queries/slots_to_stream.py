"""The slots of a resource that a live stream follows as a whole."""

from uuid import UUID

import asyncpg

from booking.events.messages import SlotState
from projector.queries.found import CHECKPOINT, WIDTH, Found, columns, fill, found

_WHOLE_SLOT = columns(SlotState, "s")

SLOTS_OF_RESOURCE = f"""
SELECT {CHECKPOINT}, {_WHOLE_SLOT}
FROM read_model.checkpoint AS c LEFT JOIN read_model.slot AS s ON s.resource_id = $1
ORDER BY s.starts_at, s.slot_id LIMIT $2
"""


async def slots_of_resource(
    read_model: asyncpg.Pool, resource_id: UUID, *, slots_max: int
) -> Found[list[SlotState]]:
    """All slots of a resource, by time, or one more than `slots_max` when there are more."""
    rows = await read_model.fetch(SLOTS_OF_RESOURCE, resource_id, slots_max + 1)
    slots = [fill(SlotState, row[WIDTH:]) for row in rows if row["slot_id"] is not None]
    return found(rows[0], slots)
