"""The route that gives browsers a ticket for the live stream."""

from datetime import datetime

import msgspec
from litestar import post
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody

from booking.api.desk import NO_STORE
from booking.edge.answers import Answer
from booking.edge.database import NoDatabaseTime
from booking.edge.problems import Problem
from booking.edge.requests import NoBody, StrictRequest
from booking.edge.tickets import Tickets

_encode = msgspec.json.Encoder().encode


class TicketAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A ticket, and until when it may be used."""

    ticket: str
    expires_at: datetime


def routes(tickets: Tickets) -> list[HTTPRouteHandler]:
    """The route of tickets."""

    @post(
        "/v1/tickets",
        opt={"answers": {201: TicketAnswer}, "problems": ("database-unavailable",)},
    )
    async def get_a_ticket(request: StrictRequest, data: JSONBody[NoBody]) -> Answer:  # noqa: ARG001 - names the body it takes: none
        """A ticket for `/v1/availability/stream?ticket=`, where a browser cannot send its key."""
        try:
            ticket, expires_at = tickets.issue(request.caller)
        except NoDatabaseTime:
            raise Problem(
                "database-unavailable",
                "The database's time is not known, so no ticket can be given an end.",
                members={"outcome": "did-not-happen"},
            ) from None
        answer = TicketAnswer(ticket=ticket, expires_at=expires_at)
        return Answer(201, _encode(answer), [NO_STORE])

    return [get_a_ticket]
