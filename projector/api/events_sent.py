"""The bytes of server-sent events, each made once for all streams that send it."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from booking.events.tokens import Token
from projector.api.answers import Tokens
from projector.queries.standing import Standing
from projector.replica.memory import Told

RETRY = b"retry: 1000\n"
"""A line of the first event: how long a browser waits before it connects again, in ms."""

_encode = msgspec.json.Encoder().encode


class EventsSent:
    """Makes events; what was just made for one stream is at hand for the next."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._now: Standing | None = None
        self._as_of = b""
        self._changes: dict[Told, bytes] = {}

    def snapshot(self, token: Token, as_of: datetime, slots: Sequence[bytes]) -> bytes:
        """All slots of a stream; each is given as JSON left open."""
        return _event(
            b"snapshot", self._tokens.encoded(token), _slots(token.position, as_of, slots)
        )

    def changes(self, now: Standing, changes: Sequence[Told]) -> bytes:
        """Slots that changed, whole."""
        if self._now is not now:
            self._turn_to(now)
        only = changes[0] if len(changes) == 1 else None
        if only is not None and (made := self._changes.get(only)) is not None:
            return made
        data = _slots(now.position, now.as_of, [told.json for told in changes])
        event = _event(b"changes", self._id(now), data)
        if only is not None:
            self._changes[only] = event
        return event

    def as_of(self, now: Standing) -> bytes:
        """How far the read model has heard, when nothing else is to be told."""
        if self._now is not now:
            self._turn_to(now)
        if not self._as_of:
            data = b'{"position":%d,"as_of":%b}' % (now.position, _encode(now.as_of))
            self._as_of = _event(b"as_of", self._id(now), data)
        return self._as_of

    def bye(self) -> bytes:
        """The stream ends here; who comes again is told why it cannot go on, if it cannot."""
        return b"event: bye\ndata: {}\n\n"

    def _turn_to(self, now: Standing) -> None:
        self._now, self._as_of = now, b""
        self._changes.clear()

    def _id(self, now: Standing) -> bytes:
        return self._tokens.encoded(Token(now.epoch, now.position))


def _slots(position: int, as_of: datetime, slots: Sequence[bytes]) -> bytes:
    listed = b"},".join(slots) + b"}" if slots else b""
    return b'{"position":%d,"as_of":%b,"slots":[%b]}' % (position, _encode(as_of), listed)


def _event(name: bytes, token: bytes, data: bytes) -> bytes:
    return b"event: %b\nid: %b\ndata: %b\n\n" % (name, token, data)
