"""Strict requests: whatever a client sends wrongly becomes a 4xx problem, in the documented order.

The framework reads bodies laxly (`"1"` for 1, a naive time for a moment) and any media type as JSON;
`StrictRequest` does not. The order is: too large, no JSON by its media type, malformed or with a wrong
parameter or header, not the documented body. What handlers need for that is offered here in one place.
"""

import asyncio
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
from booking.edge.one_write import ARRIVED
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
BODY_WAIT_S = 30
"""How long a body may take to come: the largest one over a line of 300 kbit/s."""

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
            Problem: content-too-large, request-timeout when it does not come within 30 s, or malformed-json
                where a body is needed and there is none.
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
            Problem: 413, 408, 415, 400 or 422, in this order.
        """
        raw = await self.body()
        if not self._body_was_empty:
            _refuse_what_is_no_json(self.scope)
        facts = self.scope["booking.route"]  # type: ignore[typeddict-item]  # our own key
        refuse_other_parameters(self.scope, facts.parameters)
        if facts.headers is not None:
            self.parsed = facts.headers(self)
        return None if facts.reader is None else facts.reader.read(raw)

    async def _receive_body(self) -> bytes:
        _refuse_what_is_announced_too_large(self.scope)
        # Nearly always it is here: messages and a timer would cost more than reading it.
        body = _arrived(self.scope)
        if body is None:
            body = await self._receive_in_time()
        if len(body) > BODY_SIZE_MAX:
            raise _too_large()
        return body

    async def _receive_in_time(self) -> bytes:
        try:
            async with asyncio.timeout(BODY_WAIT_S):
                return await self._read_to_its_end()
        except TimeoutError:
            raise Problem(
                "request-timeout",
                f"The body did not come within {BODY_WAIT_S} s.",
                headers=[(b"connection", b"close")],  # what comes yet would pass for a next request
            ) from None

    async def _read_to_its_end(self) -> bytes:
        chunks, size, more = [], 0, True
        while more:
            message: Any = await self.receive()
            if message["type"] == "http.disconnect":  # half a body must not pass for a short one
                raise Problem("malformed-json", "The connection ended before the body did.")
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > BODY_SIZE_MAX:
                raise _too_large()
            more = message.get("more_body", False)
        return b"".join(chunks)


HeaderCheck = Callable[[StrictRequest], Any]


def _too_large() -> Problem:
    return Problem("content-too-large", f"The body is larger than {BODY_SIZE_MAX} bytes (1 MiB).")


def _arrived(scope: Scope) -> bytes | None:
    """The whole body if it is here, where the server can tell."""
    given: Any = (scope.get("extensions") or {}).get(ARRIVED)
    return None if given is None else given(scope)


def _refuse_what_is_announced_too_large(scope: Scope) -> None:
    """Before any of it is awaited: who asks whether to send it (`Expect`) is spared the sending."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            if value.isdigit() and int(value) > BODY_SIZE_MAX:
                raise _too_large()
            return


def _refuse_what_is_no_json(scope: Scope) -> None:
    kind = None
    for name, value in scope["headers"]:
        if name == b"content-type":
            kind = value
        elif name == b"content-encoding" and value.lower() != b"identity":
            raise Problem(
                "unsupported-media-type",
                f"The body is encoded as {value.decode('latin-1')!r}; send it without Content-Encoding.",
                headers=[(b"accept-encoding", b"identity")],
            )
    if kind != b"application/json":
        _refuse_other_media_types(kind)


def _refuse_other_media_types(sent: bytes | None) -> None:
    if sent is None:
        raise Problem(
            "unsupported-media-type", "The body has no Content-Type; send application/json."
        )
    kind, _, options = sent.decode("latin-1").lower().partition(";")
    charset = options.replace(" ", "").replace('"', "")
    if kind.strip() != "application/json" or charset not in ("", "charset=utf-8"):
        raise Problem(
            "unsupported-media-type",
            f"The body is sent as {sent.decode('latin-1')!r}, not as application/json.",
            headers=[(b"accept", b"application/json")],
        )
