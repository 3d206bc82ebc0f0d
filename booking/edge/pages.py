"""Pages every process serves without a key: health, problem types, documentation."""

from litestar import get

from booking.edge.answers import Answer
from booking.edge.problems import Problem
from booking.edge.requests import StrictRequest


@get("/health/live", opt={"public": True}, include_in_schema=False)
async def live() -> Answer:
    """The process runs."""
    return Answer(200, b'{"status":"live"}', [(b"cache-control", b"no-store")])


@get("/health/ready", opt={"public": True}, include_in_schema=False)
async def ready(request: StrictRequest) -> Answer:
    """The process can serve, or what it lacks."""
    missing: list[str] = await request.app.missing()  # type: ignore[attr-defined]
    if missing:
        raise Problem("not-ready", f"Missing: {', '.join(missing)}.", members={"missing": missing})
    return Answer(200, b'{"status":"ready","missing":[]}', [(b"cache-control", b"no-store")])


PAGES = (live, ready)
