"""One page of availability: from a calendar in memory where one is held or can be, else from the tables.

Both ways find the same slots in the same words; which way it went is counted.
"""

from datetime import datetime
from uuid import UUID

import asyncpg
from msgspec import json

from projector.api.metrics import ReadMetrics
from projector.queries.find_availability import find_availability
from projector.queries.found import Found
from projector.replica.calendars import Calendars
from projector.replica.resource_calendar import PageSlot

_encode = json.Encoder().encode


async def page_of_slots(
    calendars: Calendars | None,
    read_model: asyncpg.Pool,
    metrics: ReadMetrics,
    *,
    resource_id: UUID,
    starts_from: datetime,
    starts_before: datetime,
    units: int | None,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> Found[list[PageSlot]]:
    """At most `limit` slots of a resource, by time; without calendars always from the tables."""
    if calendars is not None:
        held = await calendars.find(
            resource_id=resource_id,
            starts_from=starts_from,
            starts_before=starts_before,
            units=units,
            after=after,
            limit=limit,
        )
        if held is not None:
            metrics.pages_from_memory.inc()
            return held
    metrics.pages_from_tables.inc()
    found = await find_availability(
        read_model,
        resource_id=resource_id,
        starts_from=starts_from,
        starts_before=starts_before,
        units=units,
        after=after,
        limit=limit,
    )
    slots = [
        PageSlot(starts_at=slot.starts_at, slot_id=slot.slot_id, json=_encode(slot))
        for slot in found.value
    ]
    return Found(
        epoch=found.epoch,
        position=found.position,
        as_of=found.as_of,
        rebuilding=found.rebuilding,
        suspect=found.suspect,
        value=slots,
    )
