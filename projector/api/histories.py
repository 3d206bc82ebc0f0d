"""The routes of histories: what happened to one slot or one booking, version by version.

Where the events stand is asked of the read model, under the conditions of any read; what they say is
read from the log, which never changes what it has said.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated
from uuid import UUID

import asyncpg
from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from msgspec import Meta, Raw, Struct

from booking.edge.answers import Answer
from booking.edge.database import UNREACHABLE
from booking.edge.problems import Problem
from booking.edge.requests import StrictRequest
from projector.api.answers import answer
from projector.api.bookings import SCOPES as OF_BOOKINGS
from projector.api.bookings import owner_of
from projector.api.conditions import read_conditions
from projector.api.cursors import read_cursor, write_cursor
from projector.api.documents import HistoryPage, of_history
from projector.api.window import Limit, Window
from projector.log_reader import read_payloads_at
from projector.queries.find_history import History, history_of_booking, history_of_slot
from projector.queries.found import Found

OF_SLOTS = ("read", "operate")
"""Like the list at the door: the events name every customer."""


class HistoryAsked(Struct, frozen=True, kw_only=True):
    """The parameters of a history."""

    limit: Limit = 100
    cursor: str | None = None


class _Filters(Struct, frozen=True, kw_only=True):
    kind: str
    entity_id: UUID


class _After(Struct, frozen=True, kw_only=True):
    version: Annotated[int, Meta(ge=0, le=2**63 - 1)]


HistoryOf = Callable[..., Awaitable[Found[History | None]]]


def routes(window: Window, read_model: asyncpg.Pool, log: asyncpg.Pool) -> list[HTTPRouteHandler]:
    """The handlers."""

    async def show(
        request: StrictRequest,
        kind: str,
        entity_id: UUID,
        history_of: HistoryOf,
        owner: UUID | None = None,
    ) -> Answer:
        asked = request.query_as(HistoryAsked)
        filters = _Filters(kind=kind, entity_id=entity_id)
        cursor = read_cursor(asked.cursor, _After, filters)
        after = cursor.version if cursor else 0
        history, freshness = await window.reader.read(
            read_conditions(request.scope, window.reader.tokens.codec),
            partial(history_of, read_model, entity_id, after=after, limit=asked.limit + 1),
        )
        if history is None or (owner is not None and history.owner != owner):
            return window.not_found(request, kind, entity_id, freshness)
        page = history.versions[: asked.limit]
        try:
            events = await read_payloads_at(
                log, [position for _, position in page], epoch=freshness.epoch
            )
        except UNREACHABLE as error:
            raise Problem("log-unreachable", "The log cannot be read.") from error
        if len(events) < len(page):
            raise Problem("rebuilding", "The log was put back to an older copy a moment ago.")
        more = len(history.versions) > len(page)
        value = {
            "events": [Raw(event) for event in events],
            "next_cursor": write_cursor(_After(version=page[-1][0]), filters) if more else None,
        }
        return answer(value, freshness, window.reader.tokens)

    @get(
        "/v1/slots/{slot_id:uuid}/history",
        opt=of_history(OF_SLOTS, HistoryPage, HistoryAsked, "slot-not-found"),
    )
    async def slot_history(request: StrictRequest, slot_id: FromPath[UUID]) -> Answer:
        """What happened to a slot, by version."""
        return await show(request, "slot", slot_id, history_of_slot)

    @get(
        "/v1/bookings/{booking_id:uuid}/history",
        opt=of_history(OF_BOOKINGS, HistoryPage, HistoryAsked, "booking-not-found"),
    )
    async def booking_history(request: StrictRequest, booking_id: FromPath[UUID]) -> Answer:
        """What happened to a booking, by version."""
        owner = owner_of(request.caller)
        return await show(request, "booking", booking_id, history_of_booking, owner)

    return [slot_history, booking_history]
