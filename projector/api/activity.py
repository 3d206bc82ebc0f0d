"""The routes of activity: what happened hour by hour, and a resource at a glance."""

from datetime import timedelta
from functools import partial
from uuid import UUID

import asyncpg
from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from msgspec import Struct, field

from booking.edge.answers import Answer
from booking.edge.bodies import Moment
from booking.edge.requests import StrictRequest
from projector.api.cursors import read_cursor, write_cursor
from projector.api.documents import ActivityPage, OverviewAnswer, of_list, of_view
from projector.api.window import Limit, Window
from projector.queries.find_activity import HourView, find_activity
from projector.queries.get_overview import get_overview

SCOPES = ("read", "operate")
SPAN = timedelta(days=31)
"""How far activity looks back when `from` is not given."""


class ActivityAsked(Struct, frozen=True, kw_only=True):
    """The parameters of `/v1/activity`."""

    resource_id: UUID
    hours_from: Moment | None = field(name="from", default=None)
    hours_before: Moment | None = field(name="to", default=None)
    limit: Limit = 100
    cursor: str | None = None


class _Hour(Struct, frozen=True, kw_only=True):
    hour: Moment
    hours_from: Moment
    hours_before: Moment


def routes(window: Window, read_model: asyncpg.Pool) -> list[HTTPRouteHandler]:
    """The handlers."""

    @get("/v1/activity", opt=of_list(SCOPES, ActivityPage, ActivityAsked))
    async def activity(request: StrictRequest) -> Answer:
        """What happened to a resource's bookings, hour by hour."""
        asked = request.query_as(ActivityAsked)
        cursor = read_cursor(asked.cursor, _Hour, asked)
        before = cursor.hours_before if cursor else asked.hours_before or window.now()
        since = cursor.hours_from if cursor else asked.hours_from or before - SPAN

        def cursor_after(last: HourView) -> str:
            where = _Hour(hour=last.hour, hours_from=since, hours_before=before)
            return write_cursor(where, asked)

        return await window.show_list(
            request,
            "hours",
            partial(
                find_activity,
                read_model,
                resource_id=asked.resource_id,
                hours_from=since,
                hours_before=before,
                after=cursor.hour if cursor else None,
                limit=asked.limit + 1,
            ),
            limit=asked.limit,
            cursor_after=cursor_after,
        )

    @get(
        "/v1/resources/{resource_id:uuid}/overview",
        opt=of_view(SCOPES, OverviewAnswer, "resource-not-found"),
    )
    async def overview(request: StrictRequest, resource_id: FromPath[UUID]) -> Answer:
        """Availability, bookings and activity of a resource, which add up."""
        return await window.show_whole(
            request, "resource", resource_id, partial(get_overview, read_model, resource_id)
        )

    return [activity, overview]
