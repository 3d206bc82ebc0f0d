"""An answer whose bytes are ready.

The framework's own response objects merge headers, cookies and encoders on every request; an Answer is
sent as it is. Handlers annotated `-> Answer` cost the least.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the framework is half of what a process imports, and not every one needs it
    from litestar.types import Receive, Scope, Send

JSON = b"application/json"


class Answer:
    """Status, headers and body of one response, as bytes."""

    __slots__ = ("body", "headers", "status")

    def __init__(
        self,
        status: int,
        body: bytes,
        headers: Sequence[tuple[bytes, bytes]] = (),
        *,
        media_type: bytes = JSON,
    ) -> None:
        """Header names are lower case; `content-type` and `content-length` are added.

        204 and 304 have no body and say nothing of one.
        """
        self.status = status
        self.body = body
        if status in (204, 304):
            self.headers = list(headers)
        else:
            self.headers = [
                (b"content-type", media_type),
                (b"content-length", b"%d" % len(body)),
                *headers,
            ]

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:  # noqa: ARG002 - ASGI's signature
        """Sends it."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})

    def to_asgi_response(self, *_: Any, **__: Any) -> "Answer":
        """Lets the framework's exception handlers return an Answer, too."""
        return self
