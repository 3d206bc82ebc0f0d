"""One client's live stream: a snapshot, then changes, and once a second how fresh it is.

Every event carries whole slots and the position they are of, so a client that missed some needs
nothing but the next. A slow client costs one entry per slot it follows: while its connection is
full, newer states replace older ones, and it gets the newest when it reads again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from litestar.types import Receive, Scope, Send
from msgspec import Struct

from booking.edge.database import UNREACHABLE
from booking.edge.one_write import CUT_OFF
from booking.edge.problems import Problem
from booking.events.tokens import Token
from projector.api.events_sent import RETRY, EventsSent
from projector.queries.found import Found
from projector.replica.follower import Follower
from projector.replica.memory import Told

TICK_S = 1.0
"""How often a client is told as_of; three missed ones mean that it is cut off."""
STALLED_S = 30.0
"""A client that takes nothing for this long is let go."""
FAREWELL_S = 1.0
"""How long a connection that is full may hold up the end of the process."""

_log = structlog.get_logger(__name__)

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # a gateway that gathers bytes would make it late
]


class Followed(Struct, frozen=True, kw_only=True):
    """What a client follows, by ids or as a whole; `look` reads all of it, each slot as open JSON."""

    slot_ids: Sequence[UUID] = ()
    resource_id: UUID | None = None
    look: Callable[[], Awaitable[Found[list[bytes]]]]


class StreamCounts:
    """What became of the streams of this process."""

    def __init__(self) -> None:
        self.conflated = 0
        self.stalled = 0


class LiveStream:
    """One client's stream, from its first snapshot to its `bye`; it is sent as an ASGI answer.

    It is one task and, while idle, one timer: thousands of them must cost little.
    """

    __slots__ = (
        "_admitted",
        "_bell",
        "_changed",
        "_counts",
        "_draining",
        "_ended",
        "_events",
        "_farewell",
        "_first",
        "_follower",
        "_gone",
        "_look",
        "_missed",
        "_patience",
        "_refused",
        "_slots_max",
        "_told",
        "resource_id",
        "slot_ids",
    )

    def __init__(
        self,
        followed: Followed,
        *,
        slots_max: int,
        follower: Follower,
        events: EventsSent,
        counts: StreamCounts,
        admitted: Callable[[], bool],
        ended: Callable[["LiveStream"], None],
    ) -> None:
        self.slot_ids = followed.slot_ids
        self.resource_id = followed.resource_id
        self._look = followed.look
        self._slots_max = slots_max
        self._follower = follower
        self._events = events
        self._counts = counts
        self._admitted = admitted  # whether its key is still live
        self._ended = ended
        self._first = b""
        self._told: Token | None = None  # up to here the client has been told everything
        self._changed: dict[UUID, tuple[Told, int]] | None = None  # newest, not yet sent
        self._missed = False  # a hole in the feed: only a snapshot mends it
        self._gone = False
        self._refused = False  # what it follows has become too much
        self._draining = False
        self._farewell = False  # what is being sent is waited for a moment only
        self._bell: asyncio.Future[None] | None = None
        self._patience: asyncio.Timeout | None = None
        # From now on nothing is missed; what the first snapshot shows is left out by position.
        follower.watchers.add(self)

    def begin_with(self, token: Token, as_of: datetime, slots: Sequence[bytes]) -> "LiveStream":
        """Set the first snapshot, of the position of `token`."""
        self._told = token
        self._first = RETRY + self._events.snapshot(token, as_of, slots)
        return self

    def close(self) -> None:
        """Let go of everything."""
        self._follower.watchers.remove(self)
        self._ended(self)

    def drain(self) -> None:
        """Say `bye` and end; a connection that is full is given a moment only."""
        self._draining = True
        if self._patience is not None and not self._patience.expired():
            self._farewell = True
            self._patience.reschedule(asyncio.get_running_loop().time() + FAREWELL_S)
        self._ring()

    def changed(self, told: Told, position: int) -> None:
        """Keep the newest state of a slot until it can be sent."""
        if self._changed is None:
            self._changed = {}
        elif told.slot.slot_id in self._changed:
            self._counts.conflated += 1
        self._changed[told.slot.slot_id] = told, position
        if len(self._changed) > self._slots_max:  # of a resource that grew meanwhile: look how far
            self.missed(position)
        self._ring()

    def missed(self, position: int) -> None:  # noqa: ARG002  the snapshot has its own
        """Begin again with a snapshot."""
        self._missed, self._changed = True, None
        self._ring()

    def to_asgi_response(self, *_: object, **__: object) -> "LiveStream":
        """The framework asks; this is one already."""
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the client leaves or stalls, its key is revoked, or the process drains."""
        leaving = asyncio.create_task(self._notice_leaving(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            first, self._first = self._first, b""
            await self._send(send, first)
            await self._stream(send)
            await self._send(send, b"" if self._gone else self._events.bye(), last=True)
        except TimeoutError:
            if self._farewell:
                _log.info("stream_ended_without_bye", waited_s=FAREWELL_S)
            else:
                self._counts.stalled += 1
                _log.info("stream_stalled", stalled_s=STALLED_S)
            # What waits in the connection will never be read, and closing it would wait for that.
            extensions: Any = scope.get("extensions") or {}
            if cut_off := extensions.get(CUT_OFF):
                cut_off()
                await leaving
        finally:
            leaving.cancel()
            self.close()

    async def _stream(self, send: Send) -> None:
        loop = asyncio.get_running_loop()
        tick = loop.time() + TICK_S
        # At least once a tick, and before every event: nothing is told to a key that was revoked.
        while not (self._gone or self._refused or self._draining) and self._admitted():
            now_s = loop.time()
            event = None
            if self._missed:
                event = await self._snapshot_again()
            elif self._changed:
                event = self._what_changed()
            elif now_s >= tick:
                event = self._as_of()
            if event is not None:
                await self._send(send, event)
            if event is not None or now_s >= tick:
                tick = now_s + TICK_S
            if self._missed and event is None:
                await self._follower.moved(timeout_s=TICK_S)  # to be read again then
            elif not self._missed and not self._changed:
                await self._wait_until(tick)

    async def _snapshot_again(self) -> bytes | None:
        self._missed = False
        try:
            found = await self._look()
        except Problem:
            self._refused = True  # who comes again is told why
            return None
        except UNREACHABLE:
            self._missed = True
            return None
        if found.rebuilding or found.epoch is None or found.as_of is None:
            self._missed = True
            return None
        self._told = Token(found.epoch, found.position)
        return self._events.snapshot(self._told, found.as_of, found.value)

    def _what_changed(self) -> bytes | None:
        changed, self._changed = self._changed, None
        now = self._follower.standing
        assert now is not None and changed is not None  # noqa: S101, PT018  # they came with it
        shown = self._told.position if self._told is not None else 0
        news = [told for told, position in changed.values() if position > shown]
        if not news:
            return None  # the snapshot was of a later position
        self._told = Token(now.epoch, now.position)
        return self._events.changes(now, news)

    def _as_of(self) -> bytes | None:
        """Nothing is pending, so the client has all there is up to where the view stands."""
        now = self._follower.standing
        if now is None:
            return None
        token = Token(now.epoch, now.position)
        if self._told is not None and token < self._told:
            return None
        self._told = token
        return self._events.as_of(now)

    async def _wait_until(self, at_s: float) -> None:
        loop = asyncio.get_running_loop()
        if self._gone or self._refused or self._draining:
            return
        self._bell = loop.create_future()
        timer = loop.call_at(at_s, self._ring)
        try:
            await self._bell
        finally:
            timer.cancel()
            self._bell = None

    def _ring(self) -> None:
        if self._bell is not None and not self._bell.done():
            self._bell.set_result(None)

    async def _send(self, send: Send, content: bytes, *, last: bool = False) -> None:
        """Send, waiting for a full connection at most as long as a client may stall.

        Raises:
            TimeoutError: the client took nothing.
        """
        self._farewell = self._draining
        patience_s = FAREWELL_S if self._farewell else STALLED_S
        try:
            async with asyncio.timeout(patience_s) as self._patience:
                await send({"type": "http.response.body", "body": content, "more_body": not last})
        finally:
            self._patience = None  # one that has ended cannot be shortened

    async def _notice_leaving(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        self._ring()
