"""One slot: what is left of it, by itself or with others of one snapshot."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import asyncpg
from msgspec import Struct

from booking.events.messages import SlotState
from projector.queries.found import CHECKPOINT, WIDTH, Found, columns, fill, found


class SlotView(SlotState, frozen=True, kw_only=True):
    """A slot as queries answer it; suspect when an event that touched it could not be taken in."""

    suspect: bool = False


SLOT_COLUMNS = columns(SlotView, "s", without=frozenset({"suspect"}))
_SLOT_STATE = columns(SlotState, "s")
_STATE_WIDTH = len(SlotState.__struct_fields__)

GET_SLOTS = f"""
SELECT {CHECKPOINT}, {_SLOT_STATE}, x.slot_id IS NOT NULL AS suspect, c.generation,
       asked.slot_id AS asked_for
FROM read_model.checkpoint AS c
LEFT JOIN unnest($1::uuid[]) AS asked(slot_id) ON true
LEFT JOIN read_model.slot AS s ON s.slot_id = asked.slot_id
LEFT JOIN read_model.suspect_slot AS x ON x.slot_id = asked.slot_id
"""


class SlotRow(Struct, frozen=True, kw_only=True):
    """A slot as the tables hold it."""

    slot: SlotState | None
    """None: there is none, and it is suspect, because its opening could not be taken in."""
    suspect: bool


class SlotsFound(Struct, frozen=True, kw_only=True):
    """Slots of one snapshot; those that do not exist are left out."""

    found: Found[Mapping[UUID, SlotRow]]
    generation: int


async def get_slots(read_model: asyncpg.Pool, slot_ids: Sequence[UUID]) -> SlotsFound:
    """Those of the slots that exist, all of one position."""
    rows = await read_model.fetch(GET_SLOTS, slot_ids)
    state = slice(WIDTH, WIDTH + _STATE_WIDTH)
    known = {
        row["asked_for"]: SlotRow(
            slot=fill(SlotState, row[state]) if row["slot_id"] is not None else None,
            suspect=row["suspect"],
        )
        for row in rows
        if row["slot_id"] is not None or row["suspect"]
    }
    return SlotsFound(found=found(rows[0], known), generation=rows[0]["generation"])
