"""Whether what was seen meets what was asked for, judged on the position and age it was seen with.

Pure: one moment of judgement, taken before; the same words for every read. What it refuses carries the
same headers as an answer, because a refusal is as of a position, too.
"""

from typing import Any

import msgspec

from booking.edge.problems import Problem
from booking.events.tokens import Token
from projector.api.answers import Freshness, Tokens, headers
from projector.api.conditions import Conditions
from projector.queries.found import Found

MAY_BE_MET_LATER = frozenset({"read-model-behind", "too-stale"})
"""What waiting can bring. What is suspect does not become better by waiting for a position."""
ASK_AGAIN = MAY_BE_MET_LATER | {"suspect"}
"""The 412 of queries."""


def why_unmet(
    asked: Conditions, required: Token | None, found: Found[Any], seen: Freshness
) -> Problem | None:
    """The first condition that is not met, as the problem it would be; None when all are."""
    if asked.level in ("bounded", "strong") and seen.age_ms is None:
        return Problem(
            "log-unreachable", "The age of an answer cannot be told: no database time for 30 s."
        )
    if asked.token is not None and asked.token.epoch < seen.epoch:
        return Problem("token-epoch-changed", "The token is of an earlier history of the log.")
    if found.suspect or getattr(found.value, "suspect", False):
        return Problem(
            "suspect",
            "An event that concerns this could not be taken in, so it may lack something.",
        )
    if required is not None and required > (seen.epoch, seen.position):
        return Problem(
            "read-model-behind",
            f"Position {required.position} is required, {seen.position} is applied.",
            members={
                "required": required.position,
                "applied": seen.position,
                "waited_ms": round(seen.waited_ms),
            },
        )
    if asked.max_age_ms is not None and (seen.age_ms or 0.0) > asked.max_age_ms:
        return Problem(
            "too-stale",
            f"The answer would be {seen.age_ms:.0f} ms old.",
            members={
                "max_age_ms": asked.max_age_ms,
                "age_ms": round(seen.age_ms or 0.0),
                "waited_ms": round(seen.waited_ms),
            },
        )
    return None


def refusal(
    problem: Problem, seen: Freshness, tokens: Tokens, *, level: str = "eventual"
) -> Problem:
    """The problem with what every answer of a query says about freshness."""
    met = msgspec.structs.replace(seen, level=level)
    said = [header for header in headers(met, tokens) if header[0] != b"cache-control"]
    if problem.slug in ASK_AGAIN:
        said.append((b"retry-after", b"1"))
    members = {**problem.members, "position": seen.position, "as_of": seen.as_of}
    return Problem(problem.slug, problem.detail, members=members, headers=said)
