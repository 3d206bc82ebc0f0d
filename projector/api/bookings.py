"""The routes of bookings: one by its id, a customer's, or the list at a slot's door."""

from functools import partial
from typing import Annotated
from uuid import UUID

import asyncpg
from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from msgspec import Meta, Struct

from booking.edge.answers import Answer
from booking.edge.api_keys import Caller
from booking.edge.problems import Problem
from booking.edge.requests import StrictRequest
from booking.events.facts import BookingState
from projector.api.cursors import read_cursor, write_cursor
from projector.api.documents import BookingAnswer, BookingsPage, of_list, of_one
from projector.api.window import Limit, Window
from projector.queries.find_bookings import bookings_of_customer, bookings_of_slot
from projector.queries.get_booking import get_booking

SCOPES = ("bookings:write", "bookings:own", "read", "operate")
SEES_ALL = ("bookings:write", "read", "operate")


class BookingsAsked(Struct, frozen=True, kw_only=True):
    """The parameters of `/v1/bookings`; one of customer_id and slot_id is required."""

    customer_id: UUID | None = None
    slot_id: UUID | None = None
    state: BookingState | None = None
    limit: Limit = 100
    cursor: str | None = None


class _Before(Struct, frozen=True, kw_only=True):
    position: Annotated[int, Meta(ge=0, le=2**63 - 1)]


def routes(window: Window, read_model: asyncpg.Pool) -> list[HTTPRouteHandler]:
    """The handlers."""

    @get("/v1/bookings/{booking_id:uuid}", opt=of_one(SCOPES, BookingAnswer, "booking-not-found"))
    async def booking(request: StrictRequest, booking_id: FromPath[UUID]) -> Answer:
        """One booking."""
        owner = owner_of(request.caller)
        return await window.show(
            request,
            "booking",
            booking_id,
            partial(get_booking, read_model, booking_id),
            visible=lambda found: owner is None or found.customer_id == owner,
        )

    @get("/v1/bookings", opt=of_list(SCOPES, BookingsPage, BookingsAsked))
    async def bookings(request: StrictRequest) -> Answer:
        """Bookings of a customer or of a slot, newest first."""
        asked = request.query_as(BookingsAsked)
        cursor = read_cursor(asked.cursor, _Before, asked)
        before = cursor.position if cursor else None
        if (asked.customer_id is None) == (asked.slot_id is None):
            raise Problem("invalid-parameter", "Say either customer_id or slot_id.")
        if asked.slot_id is not None:
            _refuse_door_list(request.caller)
            query = partial(bookings_of_slot, read_model, asked.slot_id)
        else:
            assert asked.customer_id is not None  # noqa: S101  # one of the two is said
            _refuse_other_customer(request.caller, asked.customer_id)
            query = partial(bookings_of_customer, read_model, asked.customer_id)
        return await window.show_list(
            request,
            "bookings",
            partial(query, state=asked.state, before=before, limit=asked.limit + 1),
            limit=asked.limit,
            cursor_after=lambda last: write_cursor(_Before(position=last[0]), asked),
            listed=lambda items: [booking for _, booking in items],
        )

    return [booking, bookings]


def owner_of(caller: Caller) -> UUID | None:
    """The one customer whose bookings the caller may see; None when it may see all."""
    return None if caller.may(*SEES_ALL) else caller.customer_id


def _refuse_other_customer(caller: Caller, customer_id: UUID) -> None:
    owner = owner_of(caller)
    if owner is not None and owner != customer_id:
        raise Problem("insufficient-scope", "This key sees the bookings of its own customer only.")


def _refuse_door_list(caller: Caller) -> None:
    if not caller.may("read", "operate"):
        raise Problem(
            "insufficient-scope",
            "The list at the door needs the scope read.",
            members={"required": ["read"]},
        )
