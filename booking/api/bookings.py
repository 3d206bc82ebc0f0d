"""The routes of bookings: take units, confirm, release, cancel."""

from uuid import UUID

from litestar import post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody

from booking.api import headers
from booking.api.desk import Desk
from booking.api.documents import BookingShown
from booking.api.headers import read, with_key
from booking.commands import BookNow, CancelBooking, ConfirmBooking, PlaceHold, ReleaseHold
from booking.edge.answers import Answer
from booking.edge.problems import Problem, answer_to
from booking.edge.requests import StrictRequest
from booking.faults import Fault
from booking.identities import uuid7

SCOPES = ("bookings:write", "bookings:own")
UNDECIDED = (
    "idempotency-key-reused",
    "invalid-token",
    "queue-full",
    "draining",
    "not-decided",
    "database-unavailable",
)
OF_NEW = {
    "scopes": SCOPES,
    "headers": with_key,
    "request_headers": headers.OF_EVERY_COMMAND,
    "response_headers": headers.ANSWERED_NEW,
    "answers": {201: BookingShown},
    "problems": (
        "idempotency-key-missing",
        "slot-not-found",
        "hold-too-long",
        "slot-closed",
        "capacity-exceeded",
        "already-exists",
        *UNDECIDED,
    ),
}
OF_EXISTING = {
    "scopes": SCOPES,
    "headers": read,
    "request_headers": headers.OF_EXISTING,
    "response_headers": headers.ANSWERED_ENTITY,
    "answers": {200: BookingShown},
    "problems": ("booking-not-found", "version-mismatch", "wrong-state", *UNDECIDED),
}


def routes(desk: Desk) -> list[HTTPRouteHandler]:
    """The routes of bookings, served by `desk`."""

    @post("/v1/bookings", opt=OF_NEW)
    async def take_units(request: StrictRequest, data: JSONBody[PlaceHold | BookNow]) -> Answer:
        """Hold units for a while, or book them at once: all lines or none."""
        own = request.caller.customer_id
        if own is not None and own != data.customer_id and not request.caller.may("bookings:write"):
            raise Problem(
                "insufficient-scope",
                "This key may book for its own customer only.",
                members={"required": ["bookings:write"]},
            )
        return await _decided(desk, request, data, data.booking_id or uuid7())

    @post("/v1/bookings/{booking_id:uuid}/confirm", opt=OF_EXISTING, status_code=200)
    async def confirm_booking(
        request: StrictRequest, booking_id: FromPath[UUID], data: JSONBody[ConfirmBooking]
    ) -> Answer:
        """Make a held booking final, also past `expires_at` while its units were not taken back."""
        return await _decided(desk, request, data, booking_id)

    @post("/v1/bookings/{booking_id:uuid}/release", opt=OF_EXISTING, status_code=200)
    async def release_hold(
        request: StrictRequest, booking_id: FromPath[UUID], data: JSONBody[ReleaseHold]
    ) -> Answer:
        """Give a hold's units back."""
        return await _decided(desk, request, data, booking_id)

    @post("/v1/bookings/{booking_id:uuid}/cancel", opt=OF_EXISTING, status_code=200)
    async def cancel_booking(
        request: StrictRequest, booking_id: FromPath[UUID], data: JSONBody[CancelBooking]
    ) -> Answer:
        """Give a booking's units back, held or confirmed."""
        return await _decided(desk, request, data, booking_id)

    return [take_units, confirm_booking, release_hold, cancel_booking]


async def _decided(
    desk: Desk,
    request: StrictRequest,
    body: PlaceHold | BookNow | ConfirmBooking | ReleaseHold | CancelBooking,
    booking_id: UUID,
) -> Answer:
    """Queue the command, wait for its batch, answer."""
    command = body.command(desk.call(request, body), booking_id)
    try:
        decision = desk.batcher.submit(command)
    except Fault as fault:
        return answer_to(desk.undecided(fault), request.scope)
    return await desk.answer(request, decision)
