"""All resources, in the order of their ids: ids made by the server order by time."""

from uuid import UUID

import asyncpg

from projector.queries.found import CHECKPOINT, Found, found
from projector.queries.get_resource import RESOURCE_COLUMNS, ResourceView, resource_of

FIND_RESOURCES = f"""
SELECT {CHECKPOINT}, r.*
FROM read_model.checkpoint AS c LEFT JOIN LATERAL (
    SELECT {RESOURCE_COLUMNS} FROM read_model.resource AS r
    WHERE $1::uuid IS NULL OR r.resource_id > $1
    ORDER BY r.resource_id LIMIT $2) AS r ON true
"""


async def find_resources(
    read_model: asyncpg.Pool, *, after: UUID | None, limit: int
) -> Found[list[ResourceView]]:
    """At most `limit` resources after the one named."""
    rows = await read_model.fetch(FIND_RESOURCES, after, limit)
    return found(rows[0], [resource_of(row) for row in rows if row["resource_id"] is not None])
