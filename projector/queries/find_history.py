"""Where in the log the events of a slot or a booking stand, by version."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg
from msgspec import Struct

from projector.projections.histories import PART
from projector.queries.found import CHECKPOINT, Found, found


class History(Struct, frozen=True, kw_only=True):
    """A page of versions of one entity, with the position of the event that made each."""

    owner: UUID | None
    """Whose booking it is; None of a slot."""
    versions: Sequence[tuple[int, int]]
    """(version, position), ascending."""


# A part has at least one version, and the first one perhaps none that is asked for.
HISTORY_OF_SLOT = f"""
SELECT {CHECKPOINT}, s.slot_id AS entity_id, NULL::uuid AS owner, e.version, e.position AS told_at,
       EXISTS (SELECT FROM read_model.dead_letter AS d WHERE $1 = ANY (d.slot_ids)) AS suspect
FROM read_model.checkpoint AS c LEFT JOIN read_model.slot AS s ON s.slot_id = $1
LEFT JOIN LATERAL (
    SELECT v.version, h.positions[v.version] AS position
    FROM (SELECT h.part, h.positions FROM read_model.slot_history AS h
          WHERE h.slot_id = s.slot_id AND h.part >= $2::bigint / {PART}
          ORDER BY h.part LIMIT $3::bigint + 1) AS h,
         generate_subscripts(h.positions, 1) AS v(version)
    WHERE v.version > $2 AND h.positions[v.version] IS NOT NULL
    ORDER BY h.part, v.version LIMIT $3) AS e ON true
ORDER BY e.version
"""

# Where the event stands that made it, the booking says.
HISTORY_OF_BOOKING = f"""
SELECT {CHECKPOINT}, b.booking_id AS entity_id, b.customer_id AS owner, e.version,
       e.position AS told_at,
       EXISTS (SELECT FROM read_model.dead_letter AS d WHERE d.booking_id = $1) AS suspect
FROM read_model.checkpoint AS c LEFT JOIN read_model.booking AS b ON b.booking_id = $1
LEFT JOIN LATERAL (
    SELECT 1::bigint AS version, b.created_position AS position
    WHERE b.booking_id IS NOT NULL AND $2::bigint < 1
    UNION ALL
    (SELECT e.version, e.position FROM read_model.booking_event AS e
     WHERE e.booking_id = b.booking_id AND e.version > $2 ORDER BY e.version LIMIT $3)
    ORDER BY version LIMIT $3) AS e ON true
ORDER BY e.version
"""


async def history_of_slot(
    read_model: asyncpg.Pool, slot_id: UUID, *, after: int, limit: int
) -> Found[History | None]:
    """At most `limit` versions after `after`; None when there is no such slot."""
    return _history(await read_model.fetch(HISTORY_OF_SLOT, slot_id, after, limit))


async def history_of_booking(
    read_model: asyncpg.Pool, booking_id: UUID, *, after: int, limit: int
) -> Found[History | None]:
    """At most `limit` versions after `after`; None when there is no such booking."""
    return _history(await read_model.fetch(HISTORY_OF_BOOKING, booking_id, after, limit))


def _history(rows: Sequence[asyncpg.Record]) -> Found[History | None]:
    first = rows[0]
    if first["entity_id"] is None:
        return found(first, None, suspect=first["suspect"])
    versions = [(row["version"], row["told_at"]) for row in rows if row["version"] is not None]
    history = History(owner=first["owner"], versions=versions)
    return found(first, history, suspect=first["suspect"])
