"""Tickets: what lets a browser in where it cannot send its key.

An EventSource sends no headers, and a key in a URL would end in logs. So the page fetches a ticket with
its key and puts that into the URL: it says who the caller is and what it may, for a minute, signed by
this system. Nothing is stored; it may be used as often as its time allows, and is looked at only when a
connection begins.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from booking.edge.api_keys import Caller

GOOD_FOR = timedelta(seconds=60)
_PURPOSE = b"ticket:1:"
"""Signed along, so that nothing else that is signed with the secret can pass for a ticket."""
_SIGNATURE_BYTES = 16
_TEXT_MAX = 2000


class InvalidTicket(ValueError):
    """The text is no ticket of this system, or its time is over."""


class _Words(msgspec.Struct, frozen=True, array_like=True):
    """What a ticket says."""

    expires_at: datetime
    caller_id: str
    name: str
    scopes: list[str]
    customer_id: UUID | None
    rate_per_s: int | None
    burst: int | None


class Tickets:
    """Issues tickets and reads them."""

    def __init__(
        self,
        secret: bytes,
        *,
        now_at_least: Callable[[], datetime],
        now_at_most: Callable[[], datetime],
    ) -> None:
        """Takes the secret that both sides know, and the bounds of the database's time."""
        self._secret = secret
        self._now_at_least = now_at_least
        self._now_at_most = now_at_most

    def issue(self, caller: Caller) -> tuple[str, datetime]:
        """A ticket for a caller, and when it ends.

        Raises:
            NoDatabaseTime: the time is not known.
        """
        expires_at = self._now_at_least() + GOOD_FOR
        words = _Words(
            expires_at,
            caller.id,
            caller.name,
            sorted(caller.scopes),
            caller.customer_id,
            caller.rate_per_s,
            caller.burst,
        )
        body = msgspec.msgpack.encode(words)
        text = urlsafe_b64encode(self._signature(body) + body).rstrip(b"=").decode()
        return text, expires_at

    def caller(self, text: str) -> Caller:
        """Whom a ticket lets in.

        Raises:
            InvalidTicket: it is none, or its time is over.
            NoDatabaseTime: the time is not known.
        """
        if len(text) > _TEXT_MAX:
            raise InvalidTicket("too long for a ticket")
        try:
            raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except ValueError as error:
            raise InvalidTicket("no ticket of this system") from error
        signature, body = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._signature(body)):
            raise InvalidTicket("no ticket of this system")
        words = msgspec.msgpack.decode(body, type=_Words)
        if self._now_at_most() > words.expires_at:
            raise InvalidTicket("over: fetch a new one")
        return Caller(
            id=words.caller_id,
            name=words.name,
            scopes=frozenset(words.scopes),
            customer_id=words.customer_id,
            rate_per_s=words.rate_per_s,
            burst=words.burst,
        )

    def _signature(self, body: bytes) -> bytes:
        return hmac.digest(self._secret, _PURPOSE + body, "sha256")[:_SIGNATURE_BYTES]
