"""One resource with its policy."""

from uuid import UUID

import asyncpg
from msgspec import Struct

from booking.events.facts import Policy
from projector.queries.found import CHECKPOINT, WIDTH, Found, columns, fill, found, only_row


class ResourceView(Struct, frozen=True, kw_only=True):
    """A resource as queries answer it."""

    resource_id: UUID
    name: str
    time_zone: str
    version: int
    policy: Policy


RESOURCE_COLUMNS = f"r.resource_id, r.name, r.time_zone, r.version, {columns(Policy, 'r')}"

_WIDTH = 4 + len(Policy.__struct_fields__)

GET_RESOURCE = f"""
SELECT {CHECKPOINT}, {RESOURCE_COLUMNS}, EXISTS (
           SELECT FROM read_model.dead_letter AS d
           WHERE d.type IN ('ResourceCreated', 'PolicyChanged')
             AND strpos(d.payload, ($1::uuid)::text) > 0) AS suspect
FROM read_model.checkpoint AS c LEFT JOIN read_model.resource AS r ON r.resource_id = $1
"""


async def get_resource(read_model: asyncpg.Pool, resource_id: UUID) -> Found[ResourceView | None]:
    """The resource, or None."""
    row = await only_row(read_model, GET_RESOURCE, resource_id)
    resource = None if row["resource_id"] is None else resource_of(row)
    return found(row, resource, suspect=row["suspect"])


def resource_of(row: asyncpg.Record) -> ResourceView:
    """The resource in a row of `RESOURCE_COLUMNS` after the checkpoint."""
    resource_id, name, time_zone, version, *policy = row[WIDTH : WIDTH + _WIDTH]
    return ResourceView(
        resource_id=resource_id,
        name=name,
        time_zone=time_zone,
        version=version,
        policy=fill(Policy, policy),
    )
