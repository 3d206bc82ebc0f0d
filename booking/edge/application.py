"""One HTTP application made of Parts: the whole edge in one call per request.

Routing, authentication, scopes, rate limit, metrics and errors are one function around the framework's
routes instead of a stack of middlewares: at ten thousand requests a second each layer is a tenth of a
core. What it decides comes in the documented order: 404 and 405, 401, 403, 429, then the body.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from litestar import Litestar
from litestar.exceptions import (
    HTTPException,
    MethodNotAllowedException,
    NotFoundException,
    ValidationException,
)
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute
from litestar.types import Message, Receive, Scope, Send
from litestar.utils import normalize_path
from prometheus_client import CollectorRegistry

from booking.edge.api_keys import ANONYMOUS, Caller, KeysUnknown
from booking.edge.metrics import HttpMetrics
from booking.edge.parts import Part
from booking.edge.problems import PROBLEMS, Problem, ProblemType, answer_to
from booking.edge.rate_limit import RateLimit
from booking.edge.requests import BODY_SIZE_MAX, HeaderCheck, StrictRequest, refuse_other_parameters
from booking.edge.trace import trace_id

_log = structlog.get_logger(__name__)


class RouteFacts:
    """What the edge needs to know of a route, gathered once at start."""

    __slots__ = ("headers", "parameters", "public", "scopes", "takes_body", "template")

    def __init__(self, route: HTTPRoute, handler: HTTPRouteHandler, model: Any) -> None:
        self.template = route.path_format or "/"
        self.public = bool(handler.opt.get("public")) or "OPTIONS" in handler.http_methods
        self.scopes: tuple[str, ...] = tuple(handler.opt.get("scopes", ()))
        self.parameters = frozenset(
            {parameter.field_alias for parameter in model.expected_query_params}
            | set(handler.opt.get("parameters", ()))
        )
        self.headers: HeaderCheck | None = handler.opt.get("headers")
        self.takes_body = handler.parsed_data_field is not None


def http_app(
    *parts: Part, environment: str = "production", allowed_origins: Sequence[str] = ()
) -> "EdgeApplication":
    """One application of one or several Parts, with health, docs and problem pages added once.

    Args:
        parts: their routes must not overlap. Route options the edge reads: `public=True` (no key needed),
            `scopes=("a", "b")` (any of them), `parameters=("x",)` (query parameters read by the handler
            itself), `headers=check` (see `StrictRequest`), `problems=("slug",)` (for the documentation).
        environment: `production`, or `development` and `laboratory`, where callers need no key.
        allowed_origins: of browsers' pages that may call from elsewhere.
    """
    return EdgeApplication(parts, environment=environment, allowed_origins=allowed_origins)


class EdgeApplication(Litestar):
    """The application; made by `http_app`."""

    def __init__(
        self, parts: Sequence[Part], *, environment: str, allowed_origins: Sequence[str]
    ) -> None:
        from booking.edge.pages import pages

        self.parts = tuple(parts)
        self.environment = environment
        self.allowed_origins = frozenset(allowed_origins)
        self.problems: Mapping[str, ProblemType] = dict(PROBLEMS)
        for part in parts:
            self.problems = {**self.problems, **part.problems}
        self.http_metrics = HttpMetrics()
        self.metrics = CollectorRegistry(auto_describe=False)
        self.metrics.register(self.http_metrics)
        self._keys = next((part.keys for part in parts if part.keys is not None), None)
        self._rate_limit = RateLimit() if environment == "production" else None
        super().__init__(
            [handler for part in parts for handler in part.handlers] + pages(),
            request_class=StrictRequest,
            request_max_body_size=BODY_SIZE_MAX,
            openapi_config=None,
            logging_config=None,
        )
        self._facts: dict[Any, RouteFacts] = {
            handler: RouteFacts(route, handler, model)
            for route in self.routes
            if isinstance(route, HTTPRoute)
            for handler, model in route.route_handler_map.values()
        }

    def drain(self) -> None:
        """Tells every Part that the process is about to end."""
        for part in self.parts:
            part.drain()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answers one request, or runs the lifespan."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        started_s = time.perf_counter()
        method = scope["method"]
        status = 0
        template = "(none)"

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        if method == "HEAD":
            scope, receive = _as_get(scope, receive)
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
            scope["booking.route"] = handler, facts
            if not facts.public:
                scope["user"] = self._admit(scope, facts)
            if not facts.takes_body:
                refuse_other_parameters(scope, facts.parameters)
            await route(scope, receive, send_and_note)
        except Exception as error:
            if status:
                raise  # the answer has begun; the server can only cut the connection
            await answer_to(self._problem(error, scope), scope)(scope, receive, send_and_note)
        finally:
            self.http_metrics.note(template, method, status, time.perf_counter() - started_s)

    def _admit(self, scope: Scope, facts: RouteFacts) -> Caller:
        caller = self._caller(scope)
        if facts.scopes and caller.scopes.isdisjoint(facts.scopes):
            raise Problem(
                "insufficient-scope",
                f"This needs one of the scopes {', '.join(facts.scopes)}.",
                members={"required": list(facts.scopes)},
                headers=[
                    (
                        b"www-authenticate",
                        f'Bearer error="insufficient_scope", scope="{" ".join(facts.scopes)}"'.encode(),
                    )
                ],
            )
        if self._rate_limit is not None and (wait_s := self._rate_limit.wait_s(caller)):
            raise Problem(
                "rate-limited",
                f"The key {caller.name} has used up its rate on this process.",
                headers=[(b"retry-after", b"%d" % (int(wait_s) + 1))],
            )
        return caller

    def _caller(self, scope: Scope) -> Caller:
        for name, value in scope["headers"]:
            if name == b"authorization":
                scheme, _, secret = value.partition(b" ")
                if scheme.lower() != b"bearer" or not secret.strip():
                    raise _unauthenticated(
                        "The header Authorization is not of the form Bearer <api key>."
                    )
                if self._keys is None:
                    raise _unauthenticated("The API key is unknown or revoked.")
                try:
                    caller = self._keys.caller(secret.strip())
                except KeysUnknown:
                    raise Problem(
                        "database-unavailable",
                        "API keys cannot be checked: the database has been away for too long.",
                        members={"outcome": "did-not-happen"},
                    ) from None
                if caller is None:
                    raise _unauthenticated("The API key is unknown or revoked.")
                return caller
        if self.environment == "production":
            raise _unauthenticated("The request carries no API key.")
        return ANONYMOUS

    def _problem(self, error: Exception, scope: Scope) -> Problem:
        """What an error means to the client. Defects are logged, with the trace the client is given."""
        match error:
            case Problem(slug=slug) if slug in self.problems:
                return error
            case NotFoundException():
                return Problem("not-found", f"There is nothing at {scope['path']}.")
            case MethodNotAllowedException():
                allowed = _allowed(error)
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
                return Problem(
                    "internal-error", "Something failed on our side; it has been logged."
                )


def _unauthenticated(detail: str) -> Problem:
    return Problem("unauthenticated", detail, headers=[(b"www-authenticate", b"Bearer")])


def _allowed(error: MethodNotAllowedException) -> str:
    methods = {method.strip() for method in (error.headers or {}).get("allow", "").split(",")}
    return ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))


def _parameter_detail(error: ValidationException) -> str:
    extra = error.extra if isinstance(error.extra, list) else []
    named = [
        f"{item.get('key', 'parameter')}: {item['message']}" for item in extra if "message" in item
    ]
    return f"{('; '.join(named) or error.detail).rstrip('.')}."


def _as_get(scope: dict[str, Any], receive: Receive) -> tuple[dict[str, Any], Receive]:
    """HEAD is answered by the route of GET. The server leaves out the body; a stream must not go on for
    it, so to the route the client has gone away as soon as its (empty) body is read.
    """

    async def gone() -> Any:
        return {"type": "http.disconnect"}

    return {**scope, "method": "GET"}, gone
