"""One slot: what is left of it."""

from uuid import UUID

import asyncpg

from booking.events.messages import SlotState
from projector.queries.found import CHECKPOINT, WIDTH, Found, columns, fill, found, only_row


class SlotView(SlotState, frozen=True, kw_only=True):
    """A slot as queries answer it; suspect when an event that touched it could not be taken in."""

    suspect: bool = False


SLOT_COLUMNS = columns(SlotView, "s", without=frozenset({"suspect"}))

GET_SLOT = f"""
SELECT {CHECKPOINT}, {SLOT_COLUMNS}
FROM read_model.checkpoint AS c LEFT JOIN read_model.slot AS s ON s.slot_id = $1
"""


async def get_slot(read_model: asyncpg.Pool, slot_id: UUID) -> Found[SlotView | None]:
    """The slot, or None."""
    row = await only_row(read_model, GET_SLOT, slot_id)
    return found(row, None if row["slot_id"] is None else fill(SlotView, row[WIDTH:]))
