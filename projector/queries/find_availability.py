"""Slots of a resource in a span of time, in the order of their beginning."""

from datetime import datetime
from uuid import UUID

import asyncpg

from projector.queries.found import CHECKPOINT, WIDTH, Found, fill, found
from projector.queries.get_slot import SLOT_COLUMNS, SlotView

# Closed slots are shown unless a number of units is asked for: then only slots that can give them.
FIND_AVAILABILITY = f"""
SELECT {CHECKPOINT}, s.*
FROM read_model.checkpoint AS c LEFT JOIN LATERAL (
    SELECT {SLOT_COLUMNS} FROM read_model.slot AS s
    WHERE s.resource_id = $1 AND s.starts_at >= $2 AND s.starts_at < $3
      AND ($4::int IS NULL OR (s.state = 'open' AND s.remaining >= $4))
      AND ($5::timestamptz IS NULL OR (s.starts_at, s.slot_id) > ($5, $6::uuid))
    ORDER BY s.starts_at, s.slot_id LIMIT $7) AS s ON true
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
    return found(rows[0], slots)
