"""What the problems of queries carry beside what every problem does, for the documentation."""

from collections.abc import Mapping

from msgspec import UNSET, Struct, UnsetType

from booking.edge.bodies import Moment
from booking.edge.openapi_problems import RETRY_AFTER, AsOf, ProblemExtras
from projector.api.documents import FRESHNESS
from projector.api.judgement import ASK_AGAIN


class AsOfIfSeen(Struct, frozen=True, kw_only=True):
    """As of what was seen, where something was."""

    position: int | UnsetType = UNSET
    as_of: Moment | UnsetType = UNSET


class Behind(Struct, frozen=True, kw_only=True):
    """How far the read model is from what was asked for."""

    required: int
    applied: int
    waited_ms: int


class TooOld(Struct, frozen=True, kw_only=True):
    """How old the answer would have been."""

    max_age_ms: int
    age_ms: int
    waited_ms: int


class BehindOrTooOld(Struct, frozen=True, kw_only=True):
    """As one of the two."""

    required: int | UnsetType = UNSET
    applied: int | UnsetType = UNSET
    max_age_ms: int | UnsetType = UNSET
    age_ms: int | UnsetType = UNSET
    waited_ms: int


_MEMBERS: Mapping[str, tuple[type[Struct], ...]] = {
    "resource-not-found": (AsOf,),
    "slot-not-found": (AsOf,),
    "booking-not-found": (AsOf,),
    "token-from-the-future": (AsOf,),
    "token-epoch-changed": (AsOf,),
    "read-model-behind": (AsOf, Behind),
    "too-stale": (AsOf, TooOld),
    "suspect": (AsOf,),
    "not-satisfied-here": (AsOf, BehindOrTooOld),
    "log-unreachable": (AsOfIfSeen,),
}
"""Refusals that are as of a position, like every answer of a query."""
EXTRAS: Mapping[str, ProblemExtras] = {
    slug: ProblemExtras(
        members=members, headers=FRESHNESS | (RETRY_AFTER if slug in ASK_AGAIN else {})
    )
    for slug, members in _MEMBERS.items()
}
