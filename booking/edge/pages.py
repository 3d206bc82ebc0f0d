"""Pages every process serves without a key: health, problem types, documentation."""

from litestar import get
from litestar.handlers import HTTPRouteHandler

from booking.edge.answers import Answer


@get("/health/live", opt={"public": True}, include_in_schema=False)
async def live() -> Answer:
    """The process runs."""
    return Answer(200, b'{"status":"live"}')


def pages() -> list[HTTPRouteHandler]:
    """The routes."""
    return [live]
