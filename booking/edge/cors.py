"""Pages from elsewhere: which of them may call from a browser (BOOKING_ALLOWED_ORIGINS).

Only the origins that are named get an answer they may read; requests from anywhere else are served as if
nobody had asked, and the browser withholds the answer. Keys are sent as a header, so no cookies are
involved and none are allowed.
"""

from collections.abc import Collection

from litestar.types import ASGIApp, HTTPScope, Message, Receive, Send

from booking.edge.answers import Answer
from booking.edge.one_write import AT_ONCE
from booking.edge.origins import refuse_no_origin

PREFLIGHT_GOOD_FOR_S = 600

_TAKEN = (
    b"Authorization, Based-On, Cache-Control, Consistency-Token, Content-Type, Idempotency-Key, "
    b"If-Match, If-None-Match, Last-Event-ID, Prefer, Traceparent"
)
_PREFLIGHT = [
    (b"access-control-allow-methods", b"GET, HEAD, POST"),
    (b"access-control-allow-headers", _TAKEN),
    (b"access-control-max-age", b"%d" % PREFLIGHT_GOOD_FOR_S),
]
_EXPOSED = (
    b"Age, Consistency-Level, Consistency-Token, ETag, Idempotent-Replayed, Location, "
    b"Preference-Applied, Retry-After, Server-Timing"
)


class Cors:
    """An application whose answers named origins may read."""

    def __init__(self, app: ASGIApp, allowed_origins: Collection[str]) -> None:
        """Takes the application and the origins (`https://shop.example`); `*` means all.

        Raises:
            Misconfigured: one of them is no origin, so no browser would ever name it.
        """
        refuse_no_origin(allowed_origins)
        self._app = app
        self._origins = frozenset(origin.rstrip("/").encode() for origin in allowed_origins)

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Answers a preflight, or adds what the browser needs to see."""
        headers = dict(scope["headers"])
        origin = headers.get(b"origin")
        if origin is None or not (origin in self._origins or b"*" in self._origins):
            await self._app(scope, receive, send)
            return
        allowed = [(b"access-control-allow-origin", origin), (b"vary", b"Origin")]
        if scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
            await Answer(204, b"", [*allowed, *_PREFLIGHT])(scope, receive, send)
            return

        async def send_with_leave(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    *allowed,
                    (b"access-control-expose-headers", _EXPOSED),
                ]
            await send(message)

        # An answer that is written at once would leave without them.
        piecewise = {
            name: use for name, use in (scope.get("extensions") or {}).items() if name != AT_ONCE
        }
        await self._app({**scope, "extensions": piecewise}, receive, send_with_leave)
