"""The route of the live stream: who may follow what, from which position on."""

import contextlib
import resource
from collections.abc import Awaitable, Callable, Mapping, Sequence
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
from booking.events.tokens import Token
from projector.api.conditions import WAIT_MAX_S, Conditions, read_conditions, read_tokens
from projector.api.documents import CONDITIONS, UNMET
from projector.api.events_sent import EventsSent
from projector.api.inventory import OF_SLOTS
from projector.api.sse import Followed, LiveStream, StreamCounts
from projector.api.wait import Reader
from projector.queries.found import Found
from projector.queries.slots_to_stream import slots_of_resource
from projector.queries.together import Together
from projector.replica.follower import Follower
from projector.replica.memory import open_json
from projector.replica.slots import ReplicatedSlots, lanes

STREAMS_MAX = 12_000
"""Per process; each holds a socket and the newest states a slow client has not read."""
SLOTS_MAX = 10_000
"""Of a resource that is followed as a whole; hourly slots of a year are fewer. At 0.3 kB each a snapshot
is of 3 MB, for every stream of it and again after every hole."""
OTHER_FILES = 500
"""Sockets and files for everything that is not a stream."""


class StreamAsked(Struct, frozen=True, kw_only=True):
    """The parameters of the stream; one of slot_id and resource_id is required."""

    slot_id: Annotated[list[UUID], Meta(min_length=1, max_length=100)] | None = None
    resource_id: UUID | None = None
    token: str | None = None
    ticket: str | None = None
    """Who comes with one needs no key; it was looked at when the caller was let in."""


class Live:
    """The streams of this process, and their common end."""

    def __init__(
        self,
        reader: Reader,
        follower: Follower,
        slots: ReplicatedSlots,
        read_model: asyncpg.Pool,
        *,
        streams_max: int = STREAMS_MAX,
    ) -> None:
        self.counts = StreamCounts()
        self._reader = reader
        self._follower = follower
        self._slots = slots
        self._read_model = read_model
        self._events = EventsSent(reader.tokens)
        self._streams_max = streams_max
        self._streams: set[LiveStream] = set()
        self._draining = False
        # A hole in the feed makes all streams of a resource look again: one statement for them all.
        self._resources: Together[UUID, Found[list[bytes]]] = Together(
            self._look_at_resources, lanes=lanes(follower.due)
        )

    def __len__(self) -> int:
        """How many streams are open."""
        return len(self._streams)

    def drain(self) -> None:
        """Say `bye` to all."""
        self._draining = True
        for stream in list(self._streams):
            stream.drain()

    async def stream(
        self,
        asked: StreamAsked,
        conditions: Conditions,
        *,
        suspect_too: bool,
        admitted: Callable[[], bool],
    ) -> LiveStream:
        """A stream that begins with a snapshot not older than the conditions say.

        What is suspect refuses it as it would any read, unless it is wanted `suspect_too`. It ends when
        the process does, or once the caller is no longer `admitted`.

        Raises:
            Problem: they cannot be met, or there are too many streams, or slots in this one.
        """
        followed = self._followed(asked)
        if self._draining:
            raise Problem("draining", "The process is about to end.")
        if len(self._streams) >= self._streams_max:
            raise Problem("queue-full", f"{self._streams_max} streams are open on this process.")
        stream = LiveStream(
            followed,
            slots_max=SLOTS_MAX,
            follower=self._follower,
            events=self._events,
            counts=self.counts,
            admitted=admitted,
            ended=self._streams.discard,
        )
        self._streams.add(stream)
        try:
            look = partial(_suspect_too, followed.look) if suspect_too else followed.look
            slots, seen = await self._reader.read(conditions, look)
        except BaseException:
            stream.close()
            raise
        return stream.begin_with(Token(seen.epoch, seen.position), seen.as_of, slots)

    def _followed(self, asked: StreamAsked) -> Followed:
        if (asked.slot_id is None) == (asked.resource_id is None):
            raise Problem("invalid-parameter", "Say either slot_id or resource_id.")
        if asked.slot_id is not None:
            slot_ids = tuple(dict.fromkeys(asked.slot_id))
            return Followed(slot_ids=slot_ids, look=partial(self._slots.find_all, slot_ids))
        resource_id = asked.resource_id
        assert resource_id is not None  # noqa: S101  # one of the two is said
        return Followed(resource_id=resource_id, look=partial(self._whole, resource_id))

    async def _whole(self, resource_id: UUID) -> Found[list[bytes]]:
        found = await self._resources.find(resource_id)
        if len(found.value) > SLOTS_MAX:
            raise Problem(
                "invalid-parameter",
                f"resource_id: it has more than {SLOTS_MAX:,} slots, too many to be followed as a whole; "
                "follow those of interest with slot_id.",
            )
        return found

    async def _look_at_resources(
        self, resource_ids: Sequence[UUID]
    ) -> Mapping[UUID, Found[list[bytes]]]:
        looked = {}
        for resource_id in resource_ids:
            found = await slots_of_resource(self._read_model, resource_id, slots_max=SLOTS_MAX)
            if found.as_of is not None:
                await self._follower.due.keep_back(found.as_of)
            looked[resource_id] = Found(
                epoch=found.epoch,
                position=found.position,
                as_of=found.as_of,
                rebuilding=found.rebuilding,
                suspect=found.suspect,
                value=[open_json(slot) for slot in found.value],
            )
        return looked


async def _suspect_too(
    look: Callable[[], Awaitable[Found[list[bytes]]]],
) -> Found[list[bytes]]:
    """What is there, and no reason to refuse it: each slot says itself whether it is suspect."""
    return msgspec.structs.replace(await look(), suspect=False)


def allowed_streams() -> int:
    """How many streams this process may hold open; its limit of open files is raised for them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = STREAMS_MAX + OTHER_FILES
    if soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, min(STREAMS_MAX, soft - OTHER_FILES))


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
        """Availability as it changes, as server-sent events.

        Of up to 100 slots, or of a resource with at most 10,000 slots: one with more is refused (400
        `invalid-parameter`). `bye` is the last event: the process ends, the key was revoked (at most 5 s
        ago), or a snapshot would be due of a resource that has grown too large.
        """
        asked = request.query_as(StreamAsked)
        conditions = read_conditions(request.scope, reader.tokens.codec)
        resumed = header_list(request.scope, b"last-event-id")
        # A browser says no-cache whenever it follows a stream, and gives up for good when refused.
        suspect_too = conditions.token is None and conditions.max_age_ms is None
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
        return await live.stream(
            asked, conditions, suspect_too=suspect_too, admitted=request.still_admitted()
        )

    return [stream]
