"""A Part as small as can be that meets every rule of the edge, and a server to run it in."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Annotated
from uuid import UUID

import httpx
import msgspec
from litestar import get, post
from litestar.params import FromPath, JSONBody
from litestar.response import Stream
from plain_http import plain_http

from booking.edge.answers import Answer
from booking.edge.api_keys import ApiKey, KeyTable
from booking.edge.openapi_problems import ProblemExtras
from booking.edge.parts import Part
from booking.edge.problems import Problem, ProblemType, table_of
from booking.edge.requests import Body, Moment, NoBody, StrictRequest, header
from booking.edge.serving import EdgeApplication, bind, http_app, serve, url_of

THING = "0190a0b0-0000-7000-8000-000000000000"
NOTHING_COMMITTED = Path(__file__).with_name("nothing_is_committed_here")
"""So that the tiny application publishes itself, not the product."""


class Line(Body, frozen=True, kw_only=True):
    slot_id: UUID
    units: Annotated[int, msgspec.Meta(ge=1, le=10_000)]


class NewThing(Body, frozen=True, kw_only=True):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    lines: tuple[Line, ...] = ()
    starts_at: Moment | None = None


class Thing(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    lines: list[Line]
    notes: dict[str, object]


class ThingQuery(msgspec.Struct, frozen=True, kw_only=True):
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    from_: Moment | None = msgspec.field(name="from", default=None)
    slot_id: tuple[UUID, ...] = ()


def _colour(request: StrictRequest) -> str | None:
    value = header(request.scope, b"colour")
    if value not in (None, "red", "blue"):
        raise Problem("invalid-header", f"Colour: {value!r} is neither red nor blue.")
    return value


@post(
    "/v1/things",
    opt={
        "scopes": ("inventory:write",),
        "headers": _colour,
        "answers": {201: Thing},
        "problems": ("thing-refused",),
        "request_headers": {"Colour": "red or blue"},
    },
)
async def make_thing(request: StrictRequest, data: JSONBody[NewThing]) -> Answer:
    """Make a thing.

    It is told back.
    """
    if data.name == "refused":
        raise Problem("thing-refused", "Not this one.", members={"used": 3})
    if data.name == "defect":
        raise RuntimeError("a secret detail")
    return Answer(201, msgspec.json.encode(data), [(b"location", f"/v1/things/{THING}".encode())])


@post("/v1/things/{thing_id:uuid}/touch", status_code=200)
async def touch_thing(thing_id: FromPath[UUID], data: JSONBody[NoBody]) -> Answer:
    """Touch it."""
    return Answer(200, b"{}")


@get("/v1/things/{thing_id:uuid}", opt={"query": ThingQuery})
async def show_thing(request: StrictRequest, thing_id: FromPath[UUID]) -> Answer:
    """Show it."""
    query = request.query_as(ThingQuery)
    return Answer(200, msgspec.json.encode({"limit": query.limit, "slots": query.slot_id}))


@get("/v1/whoami")
async def whoami(request: StrictRequest) -> Answer:
    """Say who is asking."""
    return Answer(200, msgspec.json.encode(request.caller))


REFUSED = ProblemType(
    slug="thing-refused", title="Refused", status=409, meaning="It is refused.", remedy="Ask again."
)


class Used(msgspec.Struct, frozen=True, kw_only=True):
    used: int


def key(secret: str, *scopes: str, **more: object) -> ApiKey:
    return ApiKey(
        key_id=UUID(int=sum(secret.encode())),
        name=secret,
        sha256=sha256(secret.encode()).digest(),
        scopes=list(scopes),
        **more,
    )


class Streams:
    """An endless stream that says `bye` when the process drains."""

    def __init__(self) -> None:
        self.draining = asyncio.Event()
        self.closed = 0

    def part(self) -> Part:
        @get("/v1/stream", opt={"answers": {200: "text/event-stream"}})
        async def stream() -> Stream:
            """Stream for ever."""
            return Stream(self._events(), media_type="text/event-stream")

        return Part(name="streams", handlers=[stream], drain=self.draining.set)

    async def _events(self) -> AsyncIterator[bytes]:
        try:
            yield b"event: snapshot\ndata: {}\n\n"
            await self.draining.wait()
            yield b"event: bye\ndata: {}\n\n"
        finally:
            self.closed += 1


def tiny_part(*keys: ApiKey, **more: object) -> Part:
    async def load() -> list[ApiKey]:
        return list(keys)

    return Part(
        name="tiny",
        handlers=[make_thing, touch_thing, show_thing, whoami],
        keys=KeyTable(load),
        problems=table_of(REFUSED),
        extras={"thing-refused": ProblemExtras(members=(Used,), headers={"ETag": "Its version."})},
        **more,
    )


@asynccontextmanager
async def served(app: EdgeApplication) -> AsyncIterator[httpx.AsyncClient]:
    """The application behind a real socket, and a client for it."""
    for part in app.parts:
        if part.keys is not None:
            await part.keys.refresh_once()
    stop = asyncio.Event()
    bound = bind("127.0.0.1", 0)
    serving = asyncio.create_task(serve(app, sockets=[bound], stop=stop))
    try:
        async with plain_http(url_of(bound), timeout=10) as client:
            yield client
    finally:
        stop.set()
        async with asyncio.timeout(10):
            await serving


@asynccontextmanager
async def tiny_server(
    *keys: ApiKey, environment: str = "development", **more: object
) -> AsyncIterator[httpx.AsyncClient]:
    app = http_app(tiny_part(*keys), environment=environment, **more)
    app.published._folder = NOTHING_COMMITTED
    async with served(app) as client:
        yield client
