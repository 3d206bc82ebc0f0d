"""The slots that a live stream follows, whole: by their ids, or all of a resource."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from booking.events.messages import SlotState
from projector.queries.found import CHECKPOINT, WIDTH, Found, columns, fill, found

_WHOLE_SLOT = columns(SlotState, "s")

SLOTS_BY_ID = f"""
SELECT {CHECKPOINT}, {_WHOLE_SLOT}
FROM read_model.checkpoint AS c LEFT JOIN read_model.slot AS s ON s.slot_id = ANY($1::uuid[])
"""

SLOTS_OF_RESOURCE = f"""
SELECT {CHECKPOINT}, {_WHOLE_SLOT}
FROM read_model.checkpoint AS c LEFT JOIN read_model.slot AS s ON s.resource_id = $1
"""


async def slots_by_id(read_model: asyncpg.Pool, slot_ids: Sequence[UUID]) -> Found[list[SlotState]]:
    """Those of the slots that exist."""
    return _slots(await read_model.fetch(SLOTS_BY_ID, slot_ids))


async def slots_of_resource(read_model: asyncpg.Pool, resource_id: UUID) -> Found[list[SlotState]]:
    """All slots of a resource."""
    return _slots(await read_model.fetch(SLOTS_OF_RESOURCE, resource_id))


def _slots(rows: list[asyncpg.Record]) -> Found[list[SlotState]]:
    slots = [fill(SlotState, row[WIDTH:]) for row in rows if row["slot_id"] is not None]
    return found(rows[0], slots)
