"""Pages every process serves without a key: health, problem types, documentation."""

from typing import Protocol, cast

import msgspec
from litestar import get
from litestar.params import FromPath

from booking.edge.answers import Answer
from booking.edge.documentation import CONTENT_SECURITY, page_of, problem_page, problems_page
from booking.edge.health import what_helps
from booking.edge.problems import Problem, ProblemType
from booking.edge.published import Published
from booking.edge.requests import StrictRequest, header_list

_NOT_STORED = [(b"cache-control", b"no-store")]
_FOR_A_WHILE = [(b"cache-control", b"public, max-age=300"), (b"vary", b"Accept")]


class Application(Protocol):
    """The application, as far as its pages tell of it."""

    published: Published

    async def missing(self) -> list[str]:
        """What must come before requests can be served."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a process can serve; what it lacks is told by the problem `not-ready`."""

    status: str
    missing: list[str] = []


@get("/health/live", opt={"public": True, "answers": {200: Health}})
async def live() -> Answer:
    """Tell that the process runs."""
    return Answer(200, msgspec.json.encode(Health(status="live")), _NOT_STORED)


@get(
    "/health/ready",
    opt={"public": True, "answers": {200: Health}, "problems": ("not-ready",)},
)
async def ready(request: StrictRequest) -> Answer:
    """Tell that the process can serve, or what it lacks."""
    missing = await _app(request).missing()
    if missing:
        detail = " ".join([f"Missing: {', '.join(missing)}.", *what_helps(missing)])
        raise Problem("not-ready", detail, members={"missing": missing})
    return Answer(200, msgspec.json.encode(Health(status="ready")), _NOT_STORED)


@get("/schema", opt={"public": True, "answers": {200: "text/html"}})
async def documentation(request: StrictRequest) -> Answer:
    """Show the documentation for readers."""
    return _page(page_of(_app(request).published.openapi_document))


@get("/schema/openapi.json", opt={"public": True, "answers": {200: dict[str, object]}})
async def openapi_document(request: StrictRequest) -> Answer:
    """Give the OpenAPI 3.1 document."""
    return Answer(200, _app(request).published.openapi, _FOR_A_WHILE)


@get("/problems", opt={"public": True, "answers": {200: list[ProblemType]}})
async def problem_types(request: StrictRequest) -> Answer:
    """List the types of problems, as JSON or, for browsers, as a page."""
    kinds = list(_app(request).published.problems.values())
    if _wants_html(request):
        return _page(problems_page(kinds))
    return Answer(200, msgspec.json.encode(kinds), _FOR_A_WHILE)


@get("/problems/{slug:str}", opt={"public": True, "answers": {200: ProblemType}})
async def problem_type(request: StrictRequest, slug: FromPath[str]) -> Answer:
    """Explain one type of problem, as JSON or, for browsers, as a page."""
    kind = _app(request).published.problems.get(slug)
    if kind is None:
        raise Problem("not-found", f"There is no problem type {slug!r}.")
    if _wants_html(request):
        return _page(problem_page(kind))
    return Answer(200, msgspec.json.encode(kind), _FOR_A_WHILE)


def _app(request: StrictRequest) -> Application:
    return cast("Application", request.app)


def _wants_html(request: StrictRequest) -> bool:
    kinds = [element.partition(";")[0] for element in header_list(request.scope, b"accept")]
    return "text/html" in kinds


def _page(html: str) -> Answer:
    return Answer(
        200,
        html.encode(),
        [*_FOR_A_WHILE, (b"content-security-policy", CONTENT_SECURITY)],
        media_type=b"text/html; charset=utf-8",
    )


PAGES = (live, ready, documentation, openapi_document, problem_types, problem_type)
