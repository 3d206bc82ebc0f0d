"""A Part: one side of the system as the edge sees it.

Each side opens its pools, and yields a Part; `http_app` makes one application of one or several of them.
The edge knows nothing else of either side.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from litestar.handlers import HTTPRouteHandler
from prometheus_client import CollectorRegistry

from booking.edge.api_keys import KeyTable
from booking.edge.openapi_problems import ProblemExtras
from booking.edge.problems import ProblemType
from booking.edge.tickets import Tickets


async def _nothing_missing() -> list[str]:
    return []


def _nothing_to_drain() -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class Part:
    """What a side brings to the application it is part of."""

    name: str
    """Its name in logs, metrics and health answers, for example `booking`."""

    handlers: Sequence[HTTPRouteHandler]
    """Its routes, a flat list with absolute paths."""

    ready: Callable[[], Awaitable[list[str]]] = _nothing_missing
    """Names what is missing before requests can be served; an empty list means ready."""

    drain: Callable[[], None] = _nothing_to_drain
    """Called once when the process is about to end: streams say `bye`, queues refuse."""

    metrics: CollectorRegistry = field(
        default_factory=lambda: CollectorRegistry(auto_describe=True)
    )
    """Its metrics, beside those of the HTTP edge."""

    keys: KeyTable | None = None
    """Its API keys. Without a table only anonymous callers are let in, and only off production."""

    tickets: Tickets | None = None
    """Reads the tickets that routes with the query parameter `ticket` accept instead of a key."""

    problems: Mapping[str, ProblemType] = field(default_factory=dict)
    """The problem types its routes may answer with, by slug, beside the edge's own."""

    extras: Mapping[str, ProblemExtras] = field(default_factory=dict)
    """What those of its types carry that carry more than every problem does, by slug; for the documentation."""
