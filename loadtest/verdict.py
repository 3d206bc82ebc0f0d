"""Three-valued judgements with witnesses, and what they mean for a script that runs an experiment.

`unknown` is not a polite `valid`: the evidence has a hole. A control arm that does not show its anomaly makes the whole experiment worthless,
however well the guard did; that has its own exit code.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct

Verdict = Literal["valid", "invalid", "unknown"]
Fact = str | int | float | bool | None

HOLDS = 0
VIOLATED = 1
USAGE = 2
INVALID_EXPERIMENT = 3
INTERRUPTED = 130

WITNESSES_KEPT_MAX = 5
NO_OPPORTUNITY = "there was no opportunity to go wrong, so nothing was proved"


class Witness(Struct, frozen=True, kw_only=True):
    """One thing that cannot be, as data: `story` is a sentence with the names of `facts` in braces.

    Who did what, what was answered, why that cannot be. `size` orders witnesses: the smallest is the easiest to understand.
    """

    story: str
    facts: Mapping[str, Fact]
    size: float = 0.0

    @property
    def sentence(self) -> str:
        """The story told with its facts."""
        return self.story.format(**self.facts)


class Judgement(Struct, frozen=True, kw_only=True):
    """What a checker found.

    `rule` is the checker's name; `violations` counts all that cannot be, of which the smallest are kept as `witnesses`; `opportunities` is how
    often it could have gone wrong; `reason` says why the evidence does not decide.
    """

    rule: str = ""
    verdict: Verdict
    opportunities: int
    violations: int = 0
    witnesses: list[Witness] = []
    reason: str | None = None

    @property
    def proves_nothing(self) -> bool:
        """Nobody gave it an opportunity, and nothing is missing either: beside others that had one it may be left out."""
        return self.reason == NO_OPPORTUNITY


def judged(
    rule: str, *, opportunities: int, witnesses: Sequence[Witness] = (), hole: str | None = None
) -> Judgement:
    """A judgement from what was seen: a witness convicts, a hole in the evidence leaves it open, an experiment nobody could fail proves nothing."""
    if witnesses:
        verdict: Verdict = "invalid"
    elif hole is not None:
        verdict = "unknown"
    elif not opportunities:
        verdict, hole = "unknown", NO_OPPORTUNITY
    else:
        verdict = "valid"
    return Judgement(
        rule=rule,
        verdict=verdict,
        opportunities=max(opportunities, len(witnesses)),
        violations=len(witnesses),
        witnesses=sorted(witnesses, key=lambda witness: witness.size)[:WITNESSES_KEPT_MAX],
        reason=hole,
    )
