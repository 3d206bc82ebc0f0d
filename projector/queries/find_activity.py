"""What happened to a resource's bookings, hour by hour."""

from datetime import datetime
from uuid import UUID

import asyncpg
from msgspec import Struct

from projector.queries.found import CHECKPOINT, WIDTH, Found, columns, fill, found


class ActivityView(Struct, frozen=True, kw_only=True):
    """How many bookings were held, confirmed and so on, each with the sum of their units."""

    held: int
    held_units: int
    confirmed: int
    confirmed_units: int
    released: int
    released_units: int
    expired: int
    expired_units: int
    cancelled: int
    cancelled_units: int


class HourView(Struct, frozen=True, kw_only=True):
    """The activity of the hour that begins at `hour`."""

    hour: datetime
    held: int
    held_units: int
    confirmed: int
    confirmed_units: int
    released: int
    released_units: int
    expired: int
    expired_units: int
    cancelled: int
    cancelled_units: int


# What could not be taken in has not been counted, and is not until it is retried or repaired.
NOT_ALL_COUNTED = """EXISTS (
    SELECT FROM read_model.dead_letter AS d WHERE strpos(d.payload, ($1::uuid)::text) > 0)"""

FIND_ACTIVITY = f"""
SELECT {CHECKPOINT}, {columns(HourView, "a")}, {NOT_ALL_COUNTED} AS suspect
FROM read_model.checkpoint AS c LEFT JOIN LATERAL (
    SELECT * FROM read_model.activity AS a
    WHERE a.resource_id = $1 AND a.hour >= date_trunc('hour', $2::timestamptz, 'UTC')
      AND a.hour < $3 AND ($4::timestamptz IS NULL OR a.hour > $4)
    ORDER BY a.hour LIMIT $5) AS a ON true
ORDER BY a.hour
"""


async def find_activity(
    read_model: asyncpg.Pool,
    *,
    resource_id: UUID,
    hours_from: datetime,
    hours_before: datetime,
    after: datetime | None,
    limit: int,
) -> Found[list[HourView]]:
    """At most `limit` hours in which something happened, after the one named by `after`."""
    rows = await read_model.fetch(
        FIND_ACTIVITY, resource_id, hours_from, hours_before, after, limit
    )
    hours = [fill(HourView, row[WIDTH:]) for row in rows if row["hour"] is not None]
    return found(rows[0], hours, suspect=rows[0]["suspect"])
