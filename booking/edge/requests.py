"""Strict requests: whatever a client sends wrongly becomes a 4xx problem, in the documented order.

The framework reads bodies laxly (`"1"` for 1, a naive time for a moment) and any media type as JSON;
`StrictRequest` does not. The order is: too large, no JSON by its media type, malformed or with a wrong
parameter or header, not the documented body. What handlers need for that is offered here in one place.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import msgspec
from litestar import Request
from litestar.datastructures import State
from litestar.types import Empty, Scope

from booking.edge.api_keys import Caller
from booking.edge.bodies import Body, BodyReader, Moment, NoBody
from booking.edge.headers import entity_tags, header, header_list
from booking.edge.parameters import parameters, read_parameters, refuse_other_parameters
from booking.edge.problems import Problem

__all__ = [
    "Body",
    "HeaderCheck",
    "Moment",
    "NoBody",
    "StrictRequest",
    "entity_tags",
    "header",
    "header_list",
    "parameters",
    "read_parameters",
]

BODY_SIZE_MAX = 1024 * 1024

Q = TypeVar("Q", bound=msgspec.Struct)


class StrictRequest(Request[Caller, None, State]):
    """A request whose JSON body is decoded strictly, and only after everything else was judged.

    A route may name a check with `opt={"headers": parse}`: `parse(request)` is called once before the body
    is decoded, because a malformed header (400) comes before a wrong body (422); what it returns is kept
    as `request.parsed`. Routes without a body call what they need themselves.
    """

    parsed: Any = None
    _body_was_empty = False

    @property
    def caller(self) -> Caller:
        """Who sent the request."""
        return self.user

    def still_admitted(self) -> Callable[[], bool]:
        """What tells, from now on, whether the caller would still be let in.

        An answer that goes on after its handler has returned asks it, and keeps nothing of the request.
        """
        app: Any = self.scope["litestar_app"]
        return partial(app.still_admits, self.user)

    def query_as(self, kind: type[Q]) -> Q:
        """The query parameters as a struct; the route names the same one with `opt={"query": kind}`.

        Raises:
            Problem: invalid-parameter, naming it.
        """
        return read_parameters(self.scope, kind)

    async def body(self) -> bytes:
        """The body, at most 1 MiB; an empty one reads as `{}` where every member is optional.

        Raises:
            Problem: content-too-large, or malformed-json where a body is needed and there is none.
        """
        if self._body is Empty:
            raw = await self._receive_body()
            reader: BodyReader | None = self.scope["booking.route"].reader  # type: ignore[typeddict-item]  # our own key
            if not raw and reader is not None:
                self._body_was_empty = True
                raw = reader.of_nothing()
            self._body = raw
        return self._body

    async def json(self) -> Any:
        """The body as the struct its route asks for.

        Raises:
            Problem: 413, 415, 400 or 422, in this order.
        """
        raw = await self.body()
        if not self._body_was_empty:
            _refuse_other_media_types(self.scope)
        facts = self.scope["booking.route"]  # type: ignore[typeddict-item]  # our own key
        refuse_other_parameters(self.scope, facts.parameters)
        if facts.headers is not None:
            self.parsed = facts.headers(self)
        return None if facts.reader is None else facts.reader.read(raw)

    async def _receive_body(self) -> bytes:
        message = await self._receive_message()
        raw: bytes = message.get("body", b"")
        if not message.get("more_body", False) and len(raw) <= BODY_SIZE_MAX:
            return raw
        announced = header(self.scope, b"content-length") or ""
        if len(announced) > 7 or (announced.isdigit() and int(announced) > BODY_SIZE_MAX):
            raise _too_large()
        chunks, size = [raw], len(raw)
        while message.get("more_body", False) and size <= BODY_SIZE_MAX:
            message = await self._receive_message()
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
        if size > BODY_SIZE_MAX:
            raise _too_large()
        return b"".join(chunks)

    async def _receive_message(self) -> Any:
        message = await self.receive()
        if message["type"] == "http.disconnect":  # half a body must not pass for a short one
            raise Problem("malformed-json", "The connection ended before the body did.")
        return message


HeaderCheck = Callable[[StrictRequest], Any]


def _too_large() -> Problem:
    return Problem("content-too-large", f"The body is larger than {BODY_SIZE_MAX} bytes (1 MiB).")


def _refuse_other_media_types(scope: Scope) -> None:
    for name, value in scope["headers"]:
        if name == b"content-type":
            if value == b"application/json":
                return
            kind, _, options = value.decode("latin-1").lower().partition(";")
            charset = options.replace(" ", "").replace('"', "")
            if kind.strip() == "application/json" and charset in ("", "charset=utf-8"):
                return
            raise Problem(
                "unsupported-media-type",
                f"The body is sent as {value.decode('latin-1')!r}, not as application/json.",
                headers=[(b"accept", b"application/json")],
            )
    raise Problem("unsupported-media-type", "The body has no Content-Type; send application/json.")
