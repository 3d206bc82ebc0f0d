"""The routes of resources and slots: what there is, and what is left of it."""

from datetime import date, timedelta
from functools import partial
from typing import Annotated, Literal
from uuid import UUID

import asyncpg
from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from msgspec import Meta, Raw, Struct, field

from booking.edge.answers import Answer
from booking.edge.bodies import Moment
from booking.edge.requests import StrictRequest
from projector.api.cursors import read_cursor, write_cursor
from projector.api.documents import (
    AvailabilityPage,
    ResourceAnswer,
    ResourcesPage,
    SlotAnswer,
    of_list,
    of_one,
)
from projector.api.one_slot import OneSlot, OneSlotOfTheWriteTables
from projector.api.page_of_slots import page_of_slots
from projector.api.window import Limit, Window
from projector.queries.find_days import find_days
from projector.queries.find_resources import find_resources
from projector.queries.get_resource import get_resource
from projector.replica.calendars import Calendars
from projector.replica.resource_calendar import PageSlot

OF_RESOURCES = ("inventory:write", "read", "operate")
OF_SLOTS = ("inventory:write", "bookings:write", "bookings:own", "read", "operate")

SPAN = timedelta(days=31)
"""How far availability looks ahead when `to` is not given."""


class ResourcesAsked(Struct, frozen=True, kw_only=True):
    """The parameters of `/v1/resources`."""

    limit: Limit = 100
    cursor: str | None = None


class _Resource(Struct, frozen=True, kw_only=True):
    resource_id: UUID


class AvailabilityAsked(Struct, frozen=True, kw_only=True):
    """The parameters of `/v1/availability`."""

    resource_id: UUID
    starts_from: Moment | None = field(name="from", default=None)
    starts_before: Moment | None = field(name="to", default=None)
    units: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    by: Literal["slot", "day"] = "slot"
    limit: Limit = 100
    cursor: str | None = None


class _Slot(Struct, frozen=True, kw_only=True):
    starts_at: Moment
    slot_id: UUID
    starts_from: Moment
    starts_before: Moment


class _Day(Struct, frozen=True, kw_only=True):
    date: date
    starts_from: Moment
    starts_before: Moment


def _as_they_are(slots: list[PageSlot]) -> Raw:
    """The slots of a page, which are encoded already."""
    return Raw(b"[%b]" % b",".join([slot.json for slot in slots]))


def routes(
    window: Window,
    one_slot: OneSlot | OneSlotOfTheWriteTables,
    calendars: Calendars | None,
    read_model: asyncpg.Pool,
) -> list[HTTPRouteHandler]:
    """The handlers; without calendars every page is read from the tables."""

    @get("/v1/resources", opt=of_list(OF_RESOURCES, ResourcesPage, ResourcesAsked))
    async def resources(request: StrictRequest) -> Answer:
        """All resources."""
        asked = request.query_as(ResourcesAsked)
        cursor = read_cursor(asked.cursor, _Resource, asked)
        after = cursor.resource_id if cursor else None
        return await window.show_list(
            request,
            "resources",
            partial(find_resources, read_model, after=after, limit=asked.limit + 1),
            limit=asked.limit,
            cursor_after=lambda last: write_cursor(_Resource(resource_id=last.resource_id), asked),
        )

    @get(
        "/v1/resources/{resource_id:uuid}",
        opt=of_one(OF_RESOURCES, ResourceAnswer, "resource-not-found"),
    )
    async def resource(request: StrictRequest, resource_id: FromPath[UUID]) -> Answer:
        """One resource."""
        return await window.show(
            request, "resource", resource_id, partial(get_resource, read_model, resource_id)
        )

    @get("/v1/slots/{slot_id:uuid}", opt=of_one(OF_SLOTS, SlotAnswer, "slot-not-found"))
    async def slot(request: StrictRequest, slot_id: FromPath[UUID]) -> Answer:
        """One slot."""
        return await one_slot.show(request, slot_id)

    @get("/v1/availability", opt=of_list(OF_SLOTS, AvailabilityPage, AvailabilityAsked))
    async def availability(request: StrictRequest) -> Answer:
        """The slots of a resource in a span of time, one by one or by day."""
        asked = request.query_as(AvailabilityAsked)
        if asked.by == "day":
            return await by_day(request, asked)
        cursor = read_cursor(asked.cursor, _Slot, asked)
        starts_from = cursor.starts_from if cursor else asked.starts_from or window.now()
        starts_before = (
            cursor.starts_before if cursor else asked.starts_before or starts_from + SPAN
        )
        return await window.show_list(
            request,
            "slots",
            partial(
                page_of_slots,
                calendars,
                read_model,
                window.reader.metrics,
                resource_id=asked.resource_id,
                starts_from=starts_from,
                starts_before=starts_before,
                units=asked.units,
                after=(cursor.starts_at, cursor.slot_id) if cursor else None,
                limit=asked.limit + 1,
            ),
            limit=asked.limit,
            listed=_as_they_are,
            cursor_after=lambda last: write_cursor(
                _Slot(
                    starts_at=last.starts_at,
                    slot_id=last.slot_id,
                    starts_from=starts_from,
                    starts_before=starts_before,
                ),
                asked,
            ),
        )

    async def by_day(request: StrictRequest, asked: AvailabilityAsked) -> Answer:
        cursor = read_cursor(asked.cursor, _Day, asked)
        starts_from = cursor.starts_from if cursor else asked.starts_from or window.now()
        starts_before = (
            cursor.starts_before if cursor else asked.starts_before or starts_from + SPAN
        )
        return await window.show_list(
            request,
            "days",
            partial(
                find_days,
                read_model,
                resource_id=asked.resource_id,
                starts_from=starts_from,
                starts_before=starts_before,
                units=asked.units or 1,
                after=cursor.date if cursor else None,
                limit=asked.limit + 1,
            ),
            limit=asked.limit,
            cursor_after=lambda last: write_cursor(
                _Day(date=last.date, starts_from=starts_from, starts_before=starts_before), asked
            ),
        )

    return [resources, resource, slot, availability]
