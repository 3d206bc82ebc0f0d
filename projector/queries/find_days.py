"""Days of a resource on which slots begin, in its own time zone, with what is left on each.

A day is the date that a clock on the wall there shows; so it has 23 or 25 hours twice a year, and a
slot belongs to the day on which it begins.
"""

from datetime import date, datetime
from uuid import UUID

import asyncpg
from msgspec import Struct

from projector.queries.find_availability import SLOT_IS_SUSPECT, SLOT_MISSING
from projector.queries.found import CHECKPOINT, WIDTH, Found, columns, fill, found


class DayView(Struct, frozen=True, kw_only=True):
    """One day: sums over all its slots; `slots_fitting` are open and have the units asked for."""

    date: date
    slots: int
    slots_open: int
    capacity: int
    remaining: int
    slots_fitting: int


# Postgres takes these four names for abbreviations, which know no summer time. They are links, to the names
# here (`backward` of the tz database, since 2024b).
ZONE = """CASE r.time_zone WHEN 'CET' THEN 'Europe/Brussels' WHEN 'MET' THEN 'Europe/Brussels'
    WHEN 'EET' THEN 'Europe/Athens' WHEN 'WET' THEN 'Europe/Lisbon' ELSE r.time_zone END"""

# The cursor's day is looked at again rather than skipped by its last moment, which may come twice.
FIND_DAYS = f"""
SELECT {CHECKPOINT}, {columns(DayView, "d")}, coalesce(d.suspect, false) OR {SLOT_MISSING} AS suspect
FROM read_model.checkpoint AS c LEFT JOIN LATERAL (
    SELECT * FROM (
        SELECT (s.starts_at AT TIME ZONE place.zone)::date AS date, count(*) AS slots,
               count(*) FILTER (WHERE s.state = 'open') AS slots_open,
               sum(s.capacity) AS capacity, sum(s.remaining) AS remaining,
               count(*) FILTER (WHERE s.state = 'open' AND s.remaining >= $4) AS slots_fitting,
               bool_or({SLOT_IS_SUSPECT}) AS suspect
        FROM (SELECT coalesce((SELECT {ZONE} FROM read_model.resource AS r
                               WHERE r.resource_id = $1), 'UTC') AS zone) AS place,
             read_model.slot AS s
        WHERE s.resource_id = $1 AND s.starts_at < $3
          AND s.starts_at >= greatest($2, $5::date::timestamp AT TIME ZONE place.zone)
        GROUP BY 1) AS day
    WHERE $5::date IS NULL OR day.date > $5
    ORDER BY day.date LIMIT $6) AS d ON true
ORDER BY d.date
"""


async def find_days(
    read_model: asyncpg.Pool,
    *,
    resource_id: UUID,
    starts_from: datetime,
    starts_before: datetime,
    units: int,
    after: date | None,
    limit: int,
) -> Found[list[DayView]]:
    """At most `limit` days after the one named by `after`."""
    rows = await read_model.fetch(
        FIND_DAYS, resource_id, starts_from, starts_before, units, after, limit
    )
    days = [fill(DayView, row[WIDTH:]) for row in rows if row["date"] is not None]
    return found(rows[0], days, suspect=any(row["suspect"] for row in rows))
