"""Traces: who asked, told in one W3C `traceparent`.

The header is passed on, from HTTP to the log to the stream, and is read only when somebody asks for it: a
problem answer, a command's row. A caller that sent none, or one that is malformed, gets a fresh trace.
"""

import random
import re

from litestar.types import Scope

_TRACEPARENT = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)
_KEY = "booking.trace"


def trace_id(scope: Scope) -> str:
    """The 32 hexadecimal digits of the request's trace, the same for the whole request."""
    return _trace(scope)[0]


def traceparent(scope: Scope) -> str | None:
    """The caller's `traceparent` as it was sent; None where there was none or it was malformed."""
    return _trace(scope)[1]


def _trace(scope: Scope) -> tuple[str, str | None]:
    if (known := scope.get(_KEY)) is None:
        known = scope[_KEY] = _read(scope)  # type: ignore[literal-required]  # our own key
    return known  # type: ignore[return-value]  # only `_read` puts it there


def _read(scope: Scope) -> tuple[str, str | None]:
    for name, value in scope["headers"]:
        if name == b"traceparent" and (found := _TRACEPARENT.fullmatch(value.strip(b" \t"))):
            return found[1].decode(), found[0].decode()
    # An identifier, not a secret: the plain generator costs a tenth of the kernel's.
    return f"{random.getrandbits(128) or 1:032x}", None
