"""The consistency token: a position of the log that a client carries, signed so that it is ours.

`base64url(version ‖ epoch ‖ position ‖ HMAC-SHA256 truncated to 128 bits)` without padding. It is
opaque to clients and says nothing about them; the signature keeps a mistyped or invented position
from making a reader wait for what will never come.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from struct import Struct as Layout
from typing import NamedTuple
from uuid import UUID

_VERSION = 1
_BODY = Layout(">B16sQ")
_SIGNATURE_BYTES = 16
_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))


class InvalidToken(ValueError):
    """The text is no token of this log: malformed, or signed with another secret."""


class Token(NamedTuple):
    """A position in the log of an epoch."""

    epoch: UUID
    position: int


class TokenCodec:
    """Writes and reads tokens under the secret that the first migration made."""

    def __init__(self, secret: bytes) -> None:
        # Both halves of the HMAC with the key already taken in (RFC 2104, section 4): every answer is
        # signed, and copying them costs a third of starting anew.
        key = (sha256(secret).digest() if len(secret) > 64 else secret).ljust(64, b"\0")
        self._inner = sha256(key.translate(_INNER_PAD))
        self._outer = sha256(key.translate(_OUTER_PAD))

    def encode(self, epoch: UUID, position: int) -> str:
        """The token of a position (0 = before the first event)."""
        body = _BODY.pack(_VERSION, epoch.bytes, position)
        return urlsafe_b64encode(body + self._sign(body)).rstrip(b"=").decode()

    def decode(self, text: str) -> Token:
        """The position a token names.

        Raises:
            InvalidToken: malformed, of another version, or not signed by us.
        """
        try:
            raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except ValueError as error:
            raise InvalidToken("not base64url") from error
        body, signature = raw[: _BODY.size], raw[_BODY.size :]
        if len(body) != _BODY.size or not hmac.compare_digest(signature, self._sign(body)):
            raise InvalidToken("not signed by this system")
        version, epoch, position = _BODY.unpack(body)
        if version != _VERSION:
            raise InvalidToken(f"of token version {version}, known is {_VERSION}")
        return Token(UUID(bytes=epoch), position)

    def _sign(self, body: bytes) -> bytes:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(body)
        outer.update(inner.digest())
        return outer.digest()[:_SIGNATURE_BYTES]
