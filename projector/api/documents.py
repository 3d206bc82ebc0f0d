"""What answers and headers look like, for the documentation only: the bytes are composed elsewhere."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import UNSET, Raw, Struct, UnsetType, defstruct

from projector.queries.find_activity import HourView
from projector.queries.find_days import DayView
from projector.queries.get_booking import BookingView
from projector.queries.get_overview import OverviewView
from projector.queries.get_resource import ResourceView
from projector.queries.get_slot import SlotView

CONDITIONS = {
    "Consistency-Token": "Wait until this position is applied: a token or a list of them.",
    "Prefer": "`wait=N` seconds to wait for the conditions; `handling=lenient` to be answered anyway.",
    "Cache-Control": "`max-age=N`: not older than that; `no-cache`: a strong read; `only-if-cached`.",
}
CONDITIONS_ON_ONE = CONDITIONS | {"If-None-Match": "Versions the caller has; 304 if still current."}

FRESHNESS = {
    "Age": "How old the answer is at most, in whole seconds.",
    "Consistency-Level": "eventual, session, bounded or strong: the strongest asked for and met.",
    "Consistency-Token": "The newer of the position asked for and the one applied.",
    "Preference-Applied": "The preferences honoured.",
    "Server-Timing": "lag: the age; wait: how long the conditions took; both in ms.",
}

UNMET = (
    "invalid-header",
    "invalid-token",
    "token-from-the-future",
    "token-epoch-changed",
    "read-model-behind",
    "too-stale",
    "suspect",
    "not-satisfied-here",
    "queue-full",
    "rebuilding",
    "log-unreachable",
    "database-unavailable",
    "not-in-this-arm",
)
"""The problems of conditions: any read may meet them."""


class _AsOf(Struct, frozen=True, kw_only=True):
    position: int
    as_of: datetime


def _one(name: str, view: type[Struct], meaning: str) -> type[Struct]:
    return defstruct(
        name,
        [("position", int), ("as_of", datetime)],
        bases=(view,),
        kw_only=True,
        frozen=True,
        namespace={"__doc__": meaning},
    )


def _page(name: str, plural: str, view: type[Struct]) -> type[Struct]:
    members: list[Any] = [(plural, list[view]), ("next_cursor", str | None)]  # type: ignore[valid-type]  # the view is a value here
    return defstruct(
        name,
        members,
        bases=(_AsOf,),
        kw_only=True,
        frozen=True,
        namespace={"__doc__": f"One page of {plural}; `next_cursor` leads to the next."},
    )


ResourceAnswer = _one("ResourceAnswer", ResourceView, "A resource as of a position.")
SlotAnswer = _one("SlotAnswer", SlotView, "A slot as of a position.")
BookingAnswer = _one("BookingAnswer", BookingView, "A booking as of a position.")
ResourcesPage = _page("ResourcesPage", "resources", ResourceView)
BookingsPage = _page("BookingsPage", "bookings", BookingView)
ActivityPage = _page("ActivityPage", "hours", HourView)
OverviewAnswer = _one("OverviewAnswer", OverviewView, "A resource at a glance as of a position.")
HistoryPage = defstruct(
    "HistoryPage",
    [("events", list[Raw]), ("next_cursor", str | None)],
    bases=(_AsOf,),
    kw_only=True,
    frozen=True,
    namespace={"__doc__": "Events of one entity, by version; `next_cursor` leads to the next."},
)


class AvailabilityPage(Struct, frozen=True, kw_only=True):
    """One page of slots, or with `by=day` of days; `next_cursor` leads to the next."""

    slots: list[SlotView] | UnsetType = UNSET
    days: list[DayView] | UnsetType = UNSET
    next_cursor: str | None
    position: int
    as_of: datetime


EventsPage = defstruct(
    "EventsPage",
    [("events", list[Raw]), ("head", int), ("epoch", str)],
    kw_only=True,
    frozen=True,
    namespace={"__doc__": "Events of the log, oldest first, and where the log ends."},
)


def of_one(scopes: Sequence[str], answer: type[Struct], not_found: str) -> Mapping[str, Any]:
    """The options of a route that shows one entity."""
    return {
        "scopes": tuple(scopes),
        "request_headers": CONDITIONS_ON_ONE,
        "response_headers": FRESHNESS | {"ETag": "The version of the entity."},
        "answers": {200: answer, 304: None},
        "problems": (not_found, *UNMET),
    }


def of_view(scopes: Sequence[str], answer: type[Struct], not_found: str) -> Mapping[str, Any]:
    """The options of a route that tells of an entity without being in a version itself."""
    return {
        "scopes": tuple(scopes),
        "request_headers": CONDITIONS,
        "response_headers": FRESHNESS,
        "answers": {200: answer},
        "problems": (not_found, *UNMET),
    }


def of_history(
    scopes: Sequence[str], answer: type[Struct], query: type[Struct], not_found: str
) -> Mapping[str, Any]:
    """The options of a route that shows a page of what happened to an entity."""
    listed = of_list(scopes, answer, query)
    return {**listed, "problems": (not_found, *listed["problems"])}


def of_list(scopes: Sequence[str], answer: type[Struct], query: type[Struct]) -> Mapping[str, Any]:
    """The options of a route that shows a page of a list."""
    return {
        "scopes": tuple(scopes),
        "query": query,
        "request_headers": CONDITIONS,
        "response_headers": FRESHNESS,
        "answers": {200: answer},
        "problems": ("invalid-cursor", *UNMET),
    }
