"""One HTTP application made of Parts: the whole edge in one call per request.

Routing, authentication, scopes, rate limit, metrics and errors are one function around the framework's
routes instead of a stack of middlewares: at ten thousand requests a second each layer is a tenth of a
core. What it decides comes in the documented order: 404 and 405, 401, 403, 429, then the body.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import structlog
from litestar import Litestar
from litestar.exceptions import (
    HTTPException,
    MethodNotAllowedException,
    NotFoundException,
    ValidationException,
)
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from litestar.utils import normalize_path
from prometheus_client import CollectorRegistry

from booking.edge.admission import Admission
from booking.edge.answers import Answer
from booking.edge.api_keys import Caller
from booking.edge.cors import Cors
from booking.edge.health import what_is_missing
from booking.edge.metrics import HttpMetrics
from booking.edge.one_write import AT_ONCE
from booking.edge.pages import PAGES
from booking.edge.parameters import refuse_other_parameters
from booking.edge.parts import Part
from booking.edge.problems import PROBLEMS, Problem, ProblemType, answer_to, together
from booking.edge.published import Published
from booking.edge.requests import BODY_SIZE_MAX, StrictRequest
from booking.edge.routes import RouteFacts
from booking.edge.trace import trace_id

_log = structlog.get_logger(__name__)


def http_app(
    *parts: Part, environment: str = "production", allowed_origins: Sequence[str] = ()
) -> "EdgeApplication":
    """One application of one or several Parts, with health, docs and problem pages added once.

    Args:
        parts: their routes must not overlap; what options a route may have, `RouteFacts` says.
        environment: `production`, or `development` and `laboratory`, where callers need no key.
        allowed_origins: of browsers' pages that may call from elsewhere.
    """
    return EdgeApplication(parts, environment=environment, allowed_origins=allowed_origins)


class EdgeApplication(Litestar):
    """The application; made by `http_app`."""

    def __init__(
        self, parts: Sequence[Part], *, environment: str, allowed_origins: Sequence[str]
    ) -> None:
        self.parts = tuple(parts)
        self.problems: Mapping[str, ProblemType] = dict(PROBLEMS)
        for part in parts:
            self.problems = together(self.problems, part.problems)
        self.metrics = CollectorRegistry()
        self._requests = HttpMetrics()
        self.metrics.register(self._requests)
        self.published = Published(self)
        self._admission = Admission(
            next((part.keys for part in parts if part.keys is not None), None),
            environment=environment,
            tickets=next((part.tickets for part in parts if part.tickets is not None), None),
        )
        super().__init__(
            [*(handler for part in parts for handler in part.handlers), *PAGES],
            request_class=StrictRequest,
            request_max_body_size=BODY_SIZE_MAX,
            openapi_config=None,
            logging_config=None,
        )
        self._facts: dict[Any, RouteFacts] = {facts.handler: facts for facts in self.route_facts()}
        self._entry: Any = Cors(self._answer, allowed_origins) if allowed_origins else self._answer

    def route_facts(self) -> Iterator[RouteFacts]:
        """The facts of every route and method."""
        for route in self.routes:
            if isinstance(route, HTTPRoute):
                for handler, model in route.route_handler_map.values():
                    yield RouteFacts(route, handler, model)

    @property
    def registries(self) -> list[CollectorRegistry]:
        """The metrics of the edge and of every Part."""
        return [self.metrics, *(part.metrics for part in self.parts)]

    async def missing(self) -> list[str]:
        """What must come before requests can be served; an empty list means ready."""
        checks = {part.name: part.ready for part in self.parts}
        return await what_is_missing({"api-keys": self._admission.missing, **checks})

    def still_admits(self, caller: Caller) -> bool:
        """Whether a caller who was let in would be let in now."""
        return self._admission.still_admits(caller)

    def drain(self) -> None:
        """Tells every Part that the process is about to end."""
        for part in self.parts:
            part.drain()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answers one request, or runs the lifespan."""
        if scope["type"] == "http":
            await self._entry(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    async def _answer(self, scope: Any, receive: Receive, send: Send) -> None:
        started_s = time.perf_counter()
        method = scope["method"]
        status = 0  # stays so when the client went away before its answer began
        template = "(none)"

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        if method == "HEAD":
            scope = {**scope, "method": "GET"}
        scope["app"] = scope["litestar_app"] = self
        scope.setdefault("state", {})
        try:
            route, handler, scope["path"], scope["path_params"], _ = (
                self.asgi_router.handle_routing(
                    path=normalize_path(scope["path"]), method=scope["method"]
                )
            )
            facts = self._facts[handler]
            template = facts.template
            scope["route_handler"] = handler
            scope["booking.route"] = facts
            self._judge(scope, facts)
            if method == "OPTIONS":
                route = _methods_of(facts)
            elif facts.straight is not None:
                route = await facts.straight(scope, receive, send_and_note)
            if method == "HEAD":
                await _answer_head(route, scope, receive, send_and_note)
            elif isinstance(route, Answer) and _sent_at_once(scope, route):
                status = route.status
            else:
                await route(scope, receive, send_and_note)
        except Exception as error:
            if status:
                _log.exception("answer_broken_off", path=scope["path"], trace_id=trace_id(scope))
                raise  # the answer has begun; the server can only cut the connection
            await answer_to(self._problem(error, scope), scope)(scope, receive, send_and_note)
        finally:
            self._requests.note(template, method, status, time.perf_counter() - started_s)

    def _judge(self, scope: Scope, facts: RouteFacts) -> None:
        """Whether the caller may, and asks for nothing unknown; where there is a body, that comes after it."""
        if scope["path_params"]:
            _refuse_other_spellings(scope)
        if not facts.public:
            scope["user"] = self._admission.admit(scope, facts.scopes)
        if not facts.takes_body:
            refuse_other_parameters(scope, facts.parameters)

    def _problem(self, error: Exception, scope: Scope) -> Problem:
        """What an error means to the client. Defects are logged, with the trace the client is given."""
        match error:
            case Problem(slug=slug) if slug in self.problems:
                return error
            case NotFoundException():
                return Problem("not-found", f"There is nothing at {scope['path']}.")
            case MethodNotAllowedException():
                allowed = _allowed((error.headers or {}).get("allow", "").split(", "))
                return Problem(
                    "method-not-allowed",
                    f"{scope['path']} takes {allowed}.",
                    headers=[(b"allow", allowed.encode())],
                )
            case ValidationException():
                return Problem("invalid-parameter", _parameter_detail(error))
            case HTTPException(status_code=status) if status < 500:
                return Problem("invalid-header", f"{error.detail.rstrip('.')}.")
            case _:
                _log.error(
                    "request_failed", path=scope["path"], trace_id=trace_id(scope), exc_info=error
                )
                return Problem("internal-error", "Something failed on our side; it was logged.")


def _refuse_other_spellings(scope: Scope) -> None:
    """An id in a path is written as in a body; Python's reading takes braces, `urn:uuid:` and stray hyphens, too."""
    segments = scope["path"].lower().split("/")
    values: Iterable[object] = scope["path_params"].values()
    for value in values:
        if isinstance(value, UUID) and str(value) not in segments and value.hex not in segments:
            raise NotFoundException


def _methods_of(facts: RouteFacts) -> Answer:
    return Answer(204, b"", [(b"allow", _allowed(facts.route.methods).encode())])


def _sent_at_once(scope: Scope, answer: Answer) -> bool:
    """Whether the server could take a whole answer; otherwise it is to be sent like any other."""
    write: Any = (scope.get("extensions") or {}).get(AT_ONCE)
    return write is not None and bool(write(scope, answer))


async def _answer_head(route: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers HEAD by the route of GET, and ends that as soon as the head is out: a stream has no end."""
    begun = asyncio.Event()

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            begun.set()

    answering = asyncio.ensure_future(route(scope, receive, send_head))
    waiting = asyncio.ensure_future(begun.wait())
    try:
        await asyncio.wait({answering, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not begun.is_set():
            await answering
    finally:
        waiting.cancel()
        answering.cancel()
        await asyncio.wait({answering})
        if not answering.cancelled():
            answering.exception()


def _allowed(methods: Iterable[str]) -> str:
    taken = set(methods)
    return ", ".join(sorted(taken | {"HEAD"} if "GET" in taken else taken))


def _parameter_detail(error: ValidationException) -> str:
    extra = error.extra if isinstance(error.extra, list) else []
    named = [
        f"{item.get('key', 'parameter')}: {item['message']}" for item in extra if "message" in item
    ]
    return f"{('; '.join(named) or error.detail).replace('`', '').rstrip('.')}."
