"""All slots of a resource with what is suspect of them, for a calendar kept in memory."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg
from msgspec import Struct

from booking.events.messages import SlotState
from projector.queries.find_availability import SLOT_IS_SUSPECT, SLOT_MISSING
from projector.queries.found import columns, fill
from projector.queries.standing import Standing

_CHECKPOINT_WIDTH = 5
_STATE_WIDTH = len(SlotState.__struct_fields__)

FIND_CALENDAR = f"""
SELECT c.epoch, c.generation, c.position, c.as_of, c.state, {columns(SlotState, "s")},
       s.suspect, {SLOT_MISSING} AS lacks_some
FROM read_model.checkpoint AS c LEFT JOIN LATERAL (
    SELECT s.*, {SLOT_IS_SUSPECT} AS suspect FROM read_model.slot AS s
    WHERE s.resource_id = $1 LIMIT $2) AS s ON true
"""


class CalendarRead(Struct, frozen=True, kw_only=True):
    """What the tables held; `at` is None while they are being rebuilt."""

    at: Standing | None
    slots: Sequence[SlotState]
    suspect: frozenset[UUID]
    lacks_some: bool


async def find_calendar(
    read_model: asyncpg.Pool, resource_id: UUID, *, slots_max: int
) -> CalendarRead:
    """All slots, or one more than `slots_max` when there are more."""
    rows = await read_model.fetch(FIND_CALENDAR, resource_id, slots_max + 1)
    epoch, generation, position, as_of, state = rows[0][:_CHECKPOINT_WIDTH]
    known = [row for row in rows if row["slot_id"] is not None]
    at = None
    if epoch is not None and as_of is not None and state == "running":
        at = Standing(epoch=epoch, generation=generation, position=position, as_of=as_of)
    slot = slice(_CHECKPOINT_WIDTH, _CHECKPOINT_WIDTH + _STATE_WIDTH)
    return CalendarRead(
        at=at,
        slots=[fill(SlotState, row[slot]) for row in known],
        suspect=frozenset(row["slot_id"] for row in known if row["suspect"]),
        lacks_some=rows[0]["lacks_some"],
    )
