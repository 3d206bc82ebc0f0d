"""Slots of a resource in a span of time, in the order of their beginning."""

from datetime import datetime
from uuid import UUID

import asyncpg

from projector.queries.found import CHECKPOINT, WIDTH, Found, fill, found
from projector.queries.get_slot import SLOT_COLUMNS, SlotView

SLOT_IS_SUSPECT = "EXISTS (SELECT FROM read_model.suspect_slot AS q WHERE q.slot_id = s.slot_id)"

# A slot of resource $1 whose opening could not be taken in.
SLOT_MISSING = """EXISTS (
    SELECT FROM read_model.dead_letter AS d
    JOIN read_model.suspect_slot AS q ON q.slot_id = ANY (d.slot_ids)
    WHERE strpos(d.payload, ($1::uuid)::text) > 0
      AND NOT EXISTS (SELECT FROM read_model.slot AS known WHERE known.slot_id = q.slot_id))"""

# Closed slots are shown unless a number of units is asked for: then only slots that can give them.
FIND_AVAILABILITY = f"""
SELECT {CHECKPOINT}, s.*, {SLOT_MISSING} AS lacks_some
FROM read_model.checkpoint AS c LEFT JOIN LATERAL (
    SELECT {SLOT_COLUMNS}, {SLOT_IS_SUSPECT} AS suspect FROM read_model.slot AS s
    WHERE s.resource_id = $1 AND s.starts_at >= $2 AND s.starts_at < $3
      AND ($4::int IS NULL OR (s.state = 'open' AND s.remaining >= $4))
      AND ($5::timestamptz IS NULL OR (s.starts_at, s.slot_id) > ($5, $6::uuid))
    ORDER BY s.starts_at, s.slot_id LIMIT $7) AS s ON true
ORDER BY s.starts_at, s.slot_id
"""


async def find_availability(
    read_model: asyncpg.Pool,
    *,
    resource_id: UUID,
    starts_from: datetime,
    starts_before: datetime,
    units: int | None,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> Found[list[SlotView]]:
    """At most `limit` slots that come after the slot named by `after`."""
    starts_at, slot_id = after or (None, None)
    rows = await read_model.fetch(
        FIND_AVAILABILITY, resource_id, starts_from, starts_before, units, starts_at, slot_id, limit
    )
    slots = [fill(SlotView, row[WIDTH:]) for row in rows if row["slot_id"] is not None]
    suspect = rows[0]["lacks_some"] or any(slot.suspect for slot in slots)
    return found(rows[0], slots, suspect=suspect)
