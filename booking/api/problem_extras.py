"""What the problems of commands carry beside what every problem does, for the documentation.

The members are the fields of the rejections themselves, so the document cannot know other ones.
"""

from collections.abc import Mapping

from booking.api.headers import ANSWERED_ENTITY
from booking.api.problems import PROBLEMS
from booking.edge.openapi_problems import AsOf, ProblemExtras
from booking.rejections import REJECTIONS

_TOKEN = {"Consistency-Token": "The position that the refusal was decided at."}
_ENTITY_TAG = _TOKEN | {"ETag": ANSWERED_ENTITY["ETag"]}
_OF_A_VERSION = (
    "version-mismatch",
    "wrong-state",
    "already-exists",
    "capacity-below-use",
)
"""Refusals that know the version of what they are about."""
_DECIDED = {slug: kind for slug, kind in REJECTIONS.items() if slug in PROBLEMS}
"""What is refused by a decision, and not for the body alone."""


def _extras(slug: str) -> ProblemExtras:
    return ProblemExtras(
        members=(AsOf, _DECIDED[slug]) if PROBLEMS[slug].status == 409 else (_DECIDED[slug],),
        headers=_ENTITY_TAG if slug in _OF_A_VERSION else _TOKEN,
    )


EXTRAS: Mapping[str, ProblemExtras] = {
    **{slug: _extras(slug) for slug in _DECIDED},
    "precondition-required": ProblemExtras(headers=_ENTITY_TAG),
}
