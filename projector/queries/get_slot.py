"""One slot: what is left of it. Asked most of all, so those who ask at once share a statement."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import asyncpg

from booking.events.messages import SlotState
from projector.queries.found import CHECKPOINT, WIDTH, Found, columns, fill, found
from projector.queries.together import Together


class SlotView(SlotState, frozen=True, kw_only=True):
    """A slot as queries answer it; suspect when an event that touched it could not be taken in."""

    suspect: bool = False


SLOT_COLUMNS = columns(SlotView, "s", without=frozenset({"suspect"}))

GET_SLOTS = f"""
SELECT {CHECKPOINT}, {SLOT_COLUMNS}
FROM read_model.checkpoint AS c LEFT JOIN read_model.slot AS s ON s.slot_id = ANY($1::uuid[])
"""


async def get_slots(
    read_model: asyncpg.Pool, slot_ids: Sequence[UUID]
) -> Mapping[UUID, Found[SlotView | None]]:
    """Each slot asked for, or None, all of one position."""
    rows = await read_model.fetch(GET_SLOTS, slot_ids)
    known = {row["slot_id"]: fill(SlotView, row[WIDTH:]) for row in rows if row["slot_id"]}
    return {slot_id: found(rows[0], known.get(slot_id)) for slot_id in slot_ids}


def slots_together(read_model: asyncpg.Pool) -> Together[UUID, Found[SlotView | None]]:
    """Finds single slots."""

    async def look(slot_ids: Sequence[UUID]) -> Mapping[UUID, Found[SlotView | None]]:
        return await get_slots(read_model, slot_ids)

    return Together(look)
