"""The plain route: what an HTTP request costs here before anybody decides anything.

An ordinary Litestar application on the same server (uvicorn, uvloop, httptools), without middleware, authentication, database or log: POST
decodes a body of a booking's shape and answers one of a booking's size, GET answers a body of a slot's. Nothing is made slower or faster than
an ordinary programmer would leave it. It is a process of its own, started by `python -m loadtest.baselines.plain_litestar --fd N` on a bound
socket; nothing imports it. That it uses the framework of the product is the point, and the one exception from the rule that the laboratory
does not.
"""

import socket
import sys
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID, uuid4

import uvicorn
from litestar import Litestar, get, post
from msgspec import Struct


class Line(Struct):
    """Units of one slot."""

    slot_id: UUID
    units: int


class Booking(Struct):
    """What is sent."""

    customer_id: UUID
    mode: Literal["hold", "book"]
    lines: list[Line]


class LineShown(Struct):
    """A line with what is left."""

    slot_id: UUID
    units: int
    remaining: int
    version: int


class BookingShown(Struct):
    """What is answered."""

    booking_id: UUID
    customer_id: UUID
    state: str
    version: int
    expires_at: datetime | None
    position: int
    lines: list[LineShown]


class SlotShown(Struct):
    """What a reader is shown."""

    slot_id: UUID
    resource_id: UUID
    starts_at: datetime
    ends_at: datetime
    state: str
    capacity: int
    overbooking_units: int
    held: int
    confirmed: int
    remaining: int
    version: int
    suspect: bool
    position: int
    as_of: datetime


@post("/v1/bookings")
async def book(data: Booking) -> BookingShown:
    """Answers what was asked, as if it had happened."""
    return BookingShown(
        booking_id=uuid4(),
        customer_id=data.customer_id,
        state="confirmed",
        version=1,
        expires_at=None,
        position=123_456,
        lines=[
            LineShown(slot_id=line.slot_id, units=line.units, remaining=876_544, version=123_457)
            for line in data.lines
        ],
    )


@get("/v1/slots/{slot_id:uuid}")
async def slot(slot_id: UUID) -> SlotShown:
    """Answers a slot that is always the same."""
    return SlotShown(
        slot_id=slot_id,
        resource_id=slot_id,
        starts_at=datetime(2100, 1, 1, 19, tzinfo=UTC),
        ends_at=datetime(2100, 1, 1, 22, tzinfo=UTC),
        state="open",
        capacity=1_000_000,
        overbooking_units=0,
        held=0,
        confirmed=123_456,
        remaining=876_544,
        version=123_457,
        suspect=False,
        position=123_456,
        as_of=datetime.now(UTC),
    )


def main(fd: int) -> None:
    """Serves on an inherited socket until SIGTERM."""
    config = uvicorn.Config(
        Litestar([book, slot], openapi_config=None, logging_config=None),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=30,
    )
    # Not by `fd=`: that takes the socket for one of another family, which leaves Nagle's algorithm on,
    # and every small answer then waits 40 ms for the client's acknowledgement.
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=fd)])


if __name__ == "__main__":
    main(int(sys.argv[sys.argv.index("--fd") + 1]))
