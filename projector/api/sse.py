"""The live stream of availability: a snapshot, then changes, and once a second how fresh it is.

Every event carries whole slots and the position they are of, so a client that missed some needs
nothing but the next. A slow client costs one entry per slot it follows: while its connection is
full, newer states replace older ones, and it gets the newest when it reads again.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from uuid import UUID

import structlog
from litestar.types import Receive, Scope, Send
from msgspec import Struct, json

from booking.events.messages import SlotState
from booking.events.tokens import Token
from projector.api.answers import Tokens
from projector.api.wait import UNREACHABLE
from projector.follower import Follower, Standing
from projector.queries.found import Found

TICK_S = 1.0
"""How often a client is told as_of; three missed ones mean that it is cut off."""
STALLED_S = 30.0
"""A client that takes nothing for this long is let go."""

_log = structlog.get_logger(__name__)
_encode = json.Encoder().encode


class Slots(Struct, frozen=True, kw_only=True):
    """The data of `snapshot` and `changes`."""

    position: int
    as_of: datetime
    slots: Sequence[SlotState]


class AsOf(Struct, frozen=True, kw_only=True):
    """The data of `as_of`."""

    position: int
    as_of: datetime


class Followed(Struct, frozen=True, kw_only=True):
    """What a client follows: `includes` says whether a slot is of it, `look` reads all of them."""

    includes: Callable[[SlotState], bool]
    look: Callable[[], Awaitable[Found[list[SlotState]]]]


class LiveStream:
    """One client's stream, from its first snapshot to its `bye`; it is sent as an ASGI answer."""

    def __init__(
        self,
        followed: Followed,
        *,
        follower: Follower,
        tokens: Tokens,
        draining: asyncio.Event,
        ended: Callable[[], None],
    ) -> None:
        self._followed = followed
        self._follower = follower
        self._tokens = tokens
        self._draining = draining
        self._ended = ended
        self._first: tuple[Token, Slots] | None = None
        self._sent: dict[UUID, int] = {}  # slot -> version the client has
        self._changed: dict[UUID, SlotState] = {}  # newest states it has not been sent
        self._missed = False  # a hole in the feed: only a snapshot mends it
        self._position = -1
        self._wake = asyncio.Event()
        # From now on nothing is missed; what the first snapshot already shows is left out by version.
        self._stop_listening = follower.listen(self._hear)

    def begin_with(self, token: Token, as_of: datetime, slots: Sequence[SlotState]) -> "LiveStream":
        """Set the first snapshot, of the position of `token`."""
        self._first = token, Slots(position=token.position, as_of=as_of, slots=slots)
        return self

    def close(self) -> None:
        """Let go of everything."""
        self._stop_listening()
        self._ended()

    def to_asgi_response(self, *_: object, **__: object) -> "LiveStream":
        """The framework asks; this is one already."""
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Stream until the client leaves, stalls, or the process drains."""
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        gone = asyncio.create_task(_gone(receive))
        drained = asyncio.create_task(self._draining.wait())
        streaming = asyncio.create_task(self._stream(send))
        try:
            await asyncio.wait({gone, drained, streaming}, return_when=asyncio.FIRST_COMPLETED)
            if streaming.done():
                streaming.result()
            streaming.cancel()
            await asyncio.gather(streaming, return_exceptions=True)
            farewell = b"" if gone.done() else _event("bye", b"{}")
            await _send(send, farewell, last=True)
        except TimeoutError:
            _log.info("stream_stalled", stalled_s=STALLED_S)
        finally:
            for task in (gone, drained, streaming):
                task.cancel()
            self.close()

    def _hear(self, _: Standing, slots: Iterable[SlotState] | None) -> None:
        if slots is None:
            self._missed = True
        else:
            for slot in slots:
                if self._followed.includes(slot):
                    self._changed[slot.slot_id] = slot
        if self._missed or self._changed:
            self._wake.set()

    async def _stream(self, send: Send) -> None:
        await _send(send, b"retry: 1000\n")  # a line of the first event
        if self._first is not None:
            await self._send_snapshot(send, *self._first)
        tick = time.monotonic() + TICK_S
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, tick - time.monotonic())):
                    await self._wake.wait()
            self._wake.clear()
            sent = False
            if self._missed:
                sent = await self._snapshot_again(send)
            elif self._changed:
                sent = await self._send_changes(send)
            if self._missed or self._changed:  # not to be told yet, or come while sending
                self._wake.set()
                if not sent:
                    await self._follower.moved(timeout_s=TICK_S)
            elif not sent and time.monotonic() >= tick:
                # Nothing is pending, so the client has all there is up to where the view stands.
                sent = await self._send_as_of(send)
            if sent or time.monotonic() >= tick:
                tick = time.monotonic() + TICK_S

    async def _snapshot_again(self, send: Send) -> bool:
        self._missed = False
        try:
            found = await self._followed.look()
        except UNREACHABLE:
            self._missed = True
            return False
        if found.rebuilding or found.epoch is None or found.as_of is None:
            self._missed = True
            return False
        token = Token(found.epoch, found.position)
        self._sent.clear()
        snapshot = Slots(position=found.position, as_of=found.as_of, slots=found.value)
        await self._send_snapshot(send, token, snapshot)
        return True

    async def _send_snapshot(self, send: Send, token: Token, snapshot: Slots) -> None:
        self._position = token.position
        self._sent.update((slot.slot_id, slot.version) for slot in snapshot.slots)
        await _send(send, _event("snapshot", _encode(snapshot), self._tokens.encoded(token)))

    async def _send_changes(self, send: Send) -> bool:
        now = self._follower.standing
        if now is None or now.position < self._position:
            return False
        changed, self._changed = self._changed, {}
        news = [s for s in changed.values() if s.version > self._sent.get(s.slot_id, 0)]
        if not news:
            return False
        self._position = now.position
        self._sent.update((slot.slot_id, slot.version) for slot in news)
        data = _encode(Slots(position=now.position, as_of=now.as_of, slots=news))
        await _send(send, _event("changes", data, self._id(now)))
        return True

    async def _send_as_of(self, send: Send) -> bool:
        now = self._follower.standing
        if now is None or now.position < self._position:
            return False
        self._position = now.position
        data = _encode(AsOf(position=now.position, as_of=now.as_of))
        await _send(send, _event("as_of", data, self._id(now)))
        return True

    def _id(self, now: Standing) -> bytes:
        return self._tokens.encoded(Token(now.epoch, now.position))


_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # a gateway that gathers bytes would make it late
]


def _event(name: str, data: bytes, token: bytes | None = None) -> bytes:
    id_line = b"" if token is None else b"id: %b\n" % token
    return b"event: %b\n%bdata: %b\n\n" % (name.encode(), id_line, data)


async def _send(send: Send, content: bytes, *, last: bool = False) -> None:
    """Send, waiting for a full connection at most as long as a client may stall.

    Raises:
        TimeoutError: the client took nothing.
    """
    async with asyncio.timeout(STALLED_S):
        await send({"type": "http.response.body", "body": content, "more_body": not last})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
