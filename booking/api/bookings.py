"""The routes of bookings: take units, confirm, release, cancel, extend, reschedule, transfer."""

from uuid import UUID

from litestar import post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody

from booking.api import headers
from booking.api.desk import UNDECIDED, Desk
from booking.api.documents import BookingShown
from booking.commands import (
    BookNow,
    CancelBooking,
    ConfirmBooking,
    ExtendHold,
    PlaceHold,
    ReleaseHold,
    RescheduleBooking,
    TransferBooking,
)
from booking.edge.answers import Answer
from booking.edge.problems import Problem
from booking.edge.requests import StrictRequest
from booking.identities import uuid7

SCOPES = ("bookings:write", "bookings:own")
NO_UNITS = (
    "slot-not-found",
    "slot-closed",
    "booking-limit-exceeded",
    "customer-limit-exceeded",
    "capacity-exceeded",
)
"""Why units cannot be taken, in this precedence."""
UNCHANGED = ("booking-not-found", "version-mismatch", "wrong-state", *UNDECIDED)
"""Why a booking stays as it is."""
OF_NEW = {
    "scopes": SCOPES,
    "headers": headers.with_key,
    "request_headers": headers.OF_EVERY_COMMAND,
    "required_headers": (headers.KEY,),
    "response_headers": headers.ANSWERED_NEW,
    "answers": {201: BookingShown},
    "problems": (
        "idempotency-key-missing",
        *NO_UNITS,
        "hold-too-long",
        "already-exists",
        *UNDECIDED,
    ),
}
OF_EXISTING = {
    "scopes": SCOPES,
    "headers": headers.read,
    "request_headers": headers.OF_EXISTING,
    "response_headers": headers.ANSWERED_ENTITY,
    "answers": {200: BookingShown},
    "problems": UNCHANGED,
}
OF_EXTENSION = OF_EXISTING | {
    "headers": headers.with_key,
    "required_headers": (headers.KEY,),
    "problems": (*UNCHANGED, "idempotency-key-missing", "hold-too-long"),
}
OF_RESCHEDULE = OF_EXISTING | {
    "headers": headers.with_key_and_version,
    "required_headers": (headers.KEY, headers.VERSION),
    "problems": (
        *UNCHANGED,
        "idempotency-key-missing",
        "precondition-required",
        *NO_UNITS,
    ),
}
OF_TRANSFER = OF_EXISTING | {"problems": (*UNCHANGED, "customer-limit-exceeded")}


def routes(desk: Desk) -> list[HTTPRouteHandler]:
    """The routes of bookings, served by `desk`."""
    return [*_taking(desk), *_ending(desk), *_changing(desk)]


def _taking(desk: Desk) -> list[HTTPRouteHandler]:
    @post("/v1/bookings", opt=OF_NEW)
    async def take_units(request: StrictRequest, data: JSONBody[PlaceHold | BookNow]) -> Answer:
        """Hold units for a while, or book them at once: all lines or none."""
        _refuse_other_customers(request, data.customer_id)
        call = desk.call(request, data)
        return await desk.decide(request, data.command(call, data.booking_id or uuid7()))

    @post("/v1/bookings/{booking_id:uuid}/confirm", opt=OF_EXISTING, status_code=200)
    async def confirm_booking(
        request: StrictRequest, booking_id: FromPath[UUID], data: JSONBody[ConfirmBooking]
    ) -> Answer:
        """Make a held booking final, also past `expires_at` while its units were not taken back."""
        return await desk.decide(request, data.command(desk.call(request, data), booking_id))

    return [take_units, confirm_booking]


def _ending(desk: Desk) -> list[HTTPRouteHandler]:
    @post("/v1/bookings/{booking_id:uuid}/release", opt=OF_EXISTING, status_code=200)
    async def release_hold(
        request: StrictRequest, booking_id: FromPath[UUID], data: JSONBody[ReleaseHold]
    ) -> Answer:
        """Give a hold's units back."""
        return await desk.decide(request, data.command(desk.call(request, data), booking_id))

    @post("/v1/bookings/{booking_id:uuid}/cancel", opt=OF_EXISTING, status_code=200)
    async def cancel_booking(
        request: StrictRequest, booking_id: FromPath[UUID], data: JSONBody[CancelBooking]
    ) -> Answer:
        """Give a booking's units back, held or confirmed."""
        return await desk.decide(request, data.command(desk.call(request, data), booking_id))

    return [release_hold, cancel_booking]


def _changing(desk: Desk) -> list[HTTPRouteHandler]:
    @post("/v1/bookings/{booking_id:uuid}/extend", opt=OF_EXTENSION, status_code=200)
    async def extend_hold(
        request: StrictRequest, booking_id: FromPath[UUID], data: JSONBody[ExtendHold]
    ) -> Answer:
        """Let a hold last longer, from now on; never shorter than before."""
        return await desk.decide(request, data.command(desk.call(request, data), booking_id))

    @post("/v1/bookings/{booking_id:uuid}/reschedule", opt=OF_RESCHEDULE, status_code=200)
    async def reschedule_booking(
        request: StrictRequest, booking_id: FromPath[UUID], data: JSONBody[RescheduleBooking]
    ) -> Answer:
        """Move a booking to other lines, or leave it as it is: only the difference is taken and given."""
        return await desk.decide(request, data.command(desk.call(request, data), booking_id))

    @post("/v1/bookings/{booking_id:uuid}/transfer", opt=OF_TRANSFER, status_code=200)
    async def transfer_booking(
        request: StrictRequest, booking_id: FromPath[UUID], data: JSONBody[TransferBooking]
    ) -> Answer:
        """Give a booking to another customer, whose limit then counts."""
        _refuse_other_customers(request, data.customer_id)
        return await desk.decide(request, data.command(desk.call(request, data), booking_id))

    return [extend_hold, reschedule_booking, transfer_booking]


def _refuse_other_customers(request: StrictRequest, customer_id: UUID) -> None:
    caller = request.caller
    own = caller.customer_id
    if own is not None and own != customer_id and not caller.may("bookings:write"):
        raise Problem(
            "insufficient-scope",
            "This key may book for its own customer only.",
            members={"required": ["bookings:write"]},
        )
