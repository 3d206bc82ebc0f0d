"""What the edge needs to know of a route: gathered from its options once, at start."""

from collections.abc import Awaitable, Callable
from typing import Any

from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute
from litestar.types import Receive, Scope, Send

from booking.edge.answers import Answer
from booking.edge.bodies import reader_of
from booking.edge.requests import HeaderCheck, StrictRequest

OPTIONS = frozenset(
    {
        "answers",
        "headers",
        "parameters",
        "problems",
        "public",
        "query",
        "request_headers",
        "required_headers",
        "response_headers",
        "scopes",
    }
)


class RouteFacts:
    """The facts of one route and method.

    Options of a route (`opt={…}`):
    `public=True`: needs no key.
    `scopes=("a", "b")`: the caller needs any of these.
    `query=SomeStruct`: its query parameters, read by `request.query_as(SomeStruct)`.
    `parameters=("x",)`: further query parameters, which the handler reads itself.
    `headers=parse`: called as `parse(request)` before the body is decoded, see `StrictRequest`.
    For the documentation only: `answers={201: SomeStruct}` (None: no body; a `str`: another media type),
    `problems=("slug",)`, `request_headers={"Name": "meaning"}`, `required_headers=("Name",)`,
    `response_headers={"Name": "meaning"}`.
    """

    __slots__ = (
        "handler",
        "headers",
        "method",
        "parameters",
        "public",
        "reader",
        "route",
        "scopes",
        "straight",
        "takes_body",
        "template",
    )

    def __init__(self, route: HTTPRoute, handler: HTTPRouteHandler, model: Any) -> None:
        if unknown := handler.opt.keys() - OPTIONS:
            raise TypeError(f"{handler} has unknown options: {', '.join(sorted(unknown))}")
        self.route = route
        self.handler = handler
        self.method = min(handler.http_methods)
        self.template = route.path_format or "/"
        self.public = bool(handler.opt.get("public")) or self.method == "OPTIONS"
        self.scopes: tuple[str, ...] = tuple(handler.opt.get("scopes", ()))
        query = handler.opt.get("query")
        self.parameters = frozenset(
            {parameter.field_alias for parameter in model.expected_query_params}
            | set(handler.opt.get("parameters", ()))
            | set(query.__struct_encode_fields__ if query is not None else ())
        )
        self.headers: HeaderCheck | None = handler.opt.get("headers")
        body = handler.parsed_data_field
        self.takes_body = body is not None
        self.reader = None if body is None else reader_of(body.annotation)
        self.straight = _straight(route, handler)


Answering = Callable[[Scope, Receive, Send], Awaitable[Answer]]


def _straight(route: HTTPRoute, handler: HTTPRouteHandler) -> Answering | None:
    """The straight way to a handler that wants its request, its body and the path's parameters, and gives an Answer.

    The framework looks for dependencies, guards, hooks and encoders on every request, which is an eighth of
    the processor time of a booking. None, where a handler wants more than that: then it is worth its price.
    """
    signature = handler.parsed_fn_signature
    wanted = signature.parameters.keys()
    if (
        "request" not in wanted
        or not wanted <= {"request", "data", *route.path_parameters}
        or signature.return_type.annotation is not Answer
        or handler.resolve_guards()
        or handler.resolve_before_request()
        or handler.after_request is not None
        or handler.resolve_after_response()
    ):
        return None
    function, takes_body = handler.fn, "data" in wanted

    async def answer(scope: Scope, receive: Receive, send: Send) -> Answer:
        request = StrictRequest(scope, receive, send)
        given = scope["path_params"]
        if takes_body:
            given = {**given, "data": await request.json()}
        reply: Answer = await function(request=request, **given)
        return reply

    return answer
