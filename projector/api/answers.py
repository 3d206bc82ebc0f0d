"""How an answer says how fresh it is: headers, and the members every query's body ends with."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from booking.edge.answers import Answer
from booking.events.tokens import Token, TokenCodec

Headers = list[tuple[bytes, bytes]]

CACHE_CONTROL = (b"cache-control", b"private, no-cache")
VARY = (b"vary", b"Authorization, Consistency-Token, Prefer")

_encode = msgspec.json.Encoder().encode


class Freshness(msgspec.Struct, frozen=True, kw_only=True):
    """How fresh an answer is, and what it took."""

    epoch: UUID
    position: int
    as_of: datetime
    age_ms: float | None
    """None while the database's time is not known."""
    waited_ms: float
    level: str
    token: Token
    """The newer of asked and applied: enough to be sent alone with the next read."""
    applied: str | None
    """Preferences honoured."""


class Tokens:
    """Encodes tokens; the one of the current position is asked for again and again."""

    def __init__(self, codec: TokenCodec) -> None:
        self.codec = codec
        self._last: tuple[Token, bytes] | None = None

    def encoded(self, token: Token) -> bytes:
        """The header value of a token."""
        if self._last is None or self._last[0] != token:
            self._last = token, self.codec.encode(*token).encode()
        return self._last[1]


def headers(freshness: Freshness, tokens: Tokens) -> Headers:
    """What every answer of a query carries, 304, 404 and 412 included."""
    said: Headers = [
        CACHE_CONTROL,
        VARY,
        (b"consistency-token", tokens.encoded(freshness.token)),
        (b"consistency-level", freshness.level.encode()),
    ]
    wait = b"wait;dur=%.1f" % freshness.waited_ms
    if freshness.age_ms is not None:
        said.append((b"age", b"%d" % (freshness.age_ms // 1000)))
        wait = b"lag;dur=%.1f, %b" % (freshness.age_ms, wait)
    said.append((b"server-timing", wait))
    if freshness.applied is not None:
        said.append((b"preference-applied", freshness.applied.encode()))
    return said


def body(value: Any, freshness: Freshness) -> bytes:
    """The JSON object of `value`, ending with `position` and `as_of`."""
    return b'%b,"position":%d,"as_of":%b}' % (
        _encode(value)[:-1],
        freshness.position,
        _encode(freshness.as_of),
    )


def answer(value: Any, freshness: Freshness, tokens: Tokens, etag: int | None = None) -> Answer:
    """200 with the value; `etag` is the entity's version."""
    said = headers(freshness, tokens)
    if etag is not None:
        said.append((b"etag", b'"%d"' % etag))
    return Answer(200, body(value, freshness), said)


def not_modified(freshness: Freshness, tokens: Tokens, etag: int) -> Answer:
    """304: the entity is still in the version the caller has; how fresh that is, is said anew."""
    return Answer(304, b"", [*headers(freshness, tokens), (b"etag", b'"%d"' % etag)])
