"""The route of the live stream: who may follow what, from which position on."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Annotated
from uuid import UUID

import asyncpg
import msgspec
from litestar import get
from litestar.handlers import HTTPRouteHandler
from msgspec import Meta, Struct

from booking.edge.headers import header_list
from booking.edge.problems import Problem
from booking.edge.requests import StrictRequest
from booking.events.messages import SlotState
from booking.events.tokens import Token
from projector.api.conditions import WAIT_MAX_S, Conditions, read_conditions, read_tokens
from projector.api.documents import CONDITIONS, UNMET
from projector.api.inventory import OF_SLOTS
from projector.api.sse import Followed, LiveStream
from projector.api.wait import Reader
from projector.follower import Follower
from projector.queries.slots_to_stream import slots_by_id, slots_of_resource

STREAMS_MAX = 2000
"""Per process; each holds a socket and the newest states a slow client has not read."""


class StreamAsked(Struct, frozen=True, kw_only=True):
    """The parameters of the stream; one of slot_id and resource_id is required."""

    slot_id: Annotated[list[UUID], Meta(min_length=1, max_length=100)] | None = None
    resource_id: UUID | None = None
    token: str | None = None


class Live:
    """The streams of this process, and their common end."""

    def __init__(self, reader: Reader, follower: Follower, read_model: asyncpg.Pool) -> None:
        self.open = 0
        self._reader = reader
        self._follower = follower
        self._read_model = read_model
        self._draining = asyncio.Event()

    def drain(self) -> None:
        """Say `bye` to all."""
        self._draining.set()

    async def stream(self, asked: StreamAsked, conditions: Conditions) -> LiveStream:
        """A stream that begins with a snapshot not older than the conditions say.

        Raises:
            Problem: they cannot be met, or there are too many streams.
        """
        if self._draining.is_set():
            raise Problem("draining", "The process is about to end.")
        if self.open >= STREAMS_MAX:
            raise Problem("queue-full", f"{STREAMS_MAX} streams are open on this process.")
        followed = self._followed(asked)
        self.open += 1
        stream = LiveStream(
            followed,
            follower=self._follower,
            tokens=self._reader.tokens,
            draining=self._draining,
            ended=self._one_ended,
        )
        try:
            slots, seen = await self._reader.read(conditions, followed.look)
        except BaseException:
            stream.close()
            raise
        return stream.begin_with(Token(seen.epoch, seen.position), seen.as_of, slots)

    def _one_ended(self) -> None:
        self.open -= 1

    def _followed(self, asked: StreamAsked) -> Followed:
        if (asked.slot_id is None) == (asked.resource_id is None):
            raise Problem("invalid-parameter", "Say either slot_id or resource_id.")
        if asked.slot_id is not None:
            wanted: Sequence[UUID] = asked.slot_id
            known = frozenset(wanted)
            return Followed(
                includes=lambda slot: slot.slot_id in known,
                look=partial(slots_by_id, self._read_model, wanted),
            )
        assert asked.resource_id is not None  # noqa: S101  # one of the two is said
        resource_id = asked.resource_id

        def of_resource(slot: SlotState) -> bool:
            return slot.resource_id == resource_id

        return Followed(
            includes=of_resource, look=partial(slots_of_resource, self._read_model, resource_id)
        )


def routes(live: Live, reader: Reader) -> list[HTTPRouteHandler]:
    """The handler."""

    @get(
        "/v1/availability/stream",
        opt={
            "scopes": OF_SLOTS,
            "query": StreamAsked,
            "request_headers": CONDITIONS | {"Last-Event-ID": "The id of the last event received."},
            "answers": {200: "text/event-stream"},
            "problems": ("queue-full", "draining", *UNMET),
        },
    )
    async def stream(request: StrictRequest) -> LiveStream:
        """Availability as it changes, as server-sent events."""
        asked = request.query_as(StreamAsked)
        conditions = read_conditions(request.scope, reader.tokens.codec)
        resumed = header_list(request.scope, b"last-event-id")
        if asked.token is not None:
            resumed.append(asked.token)
        # A browser that resumes sends no preferences and does not retry a refusal: wait longest.
        token = max(
            filter(None, (conditions.token, read_tokens(resumed, reader.tokens.codec))),
            default=None,
        )
        conditions = msgspec.structs.replace(
            conditions, token=token, wait_s=conditions.wait_s if not resumed else WAIT_MAX_S
        )
        return await live.stream(asked, conditions)

    return [stream]
