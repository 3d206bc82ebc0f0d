"""Three-valued judgements, and what they mean for a script that runs an experiment.

`unknown` is not a polite `valid`: the evidence has a hole. A control arm that does not show its anomaly makes the whole experiment worthless,
however well the guard did; that has its own exit code.
"""

from datetime import datetime
from typing import Literal

from msgspec import Struct

Verdict = Literal["valid", "invalid", "unknown"]

HOLDS = 0
VIOLATED = 1
USAGE = 2
INVALID_EXPERIMENT = 3
INTERRUPTED = 130


class Witness(Struct, frozen=True, kw_only=True):
    """One thing that cannot be: who did what, what was answered, and the state that contradicts it."""

    slot_id: str
    version: int
    position: int
    command_id: str
    booking_id: str | None
    units: int
    sold: int
    limit: int
    decided_at: datetime
    shown_remaining: int | None = None
    shown_as_of: datetime | None = None
    answered: int | None = None


class Judgement(Struct, frozen=True, kw_only=True):
    """What a checker found: `witnesses` smallest first; `reason` says why it cannot tell; `opportunities` how often it could have gone wrong."""

    verdict: Verdict
    opportunities: int
    witnesses: list[Witness] = []
    reason: str | None = None


def exit_code(*, control_showed_it: bool, guarded: list[Verdict]) -> int:
    """What a script is told: a violated guard outweighs an invalid experiment, because it is news in any case."""
    if "invalid" in guarded:
        return VIOLATED
    if not control_showed_it or "unknown" in guarded or not guarded:
        return INVALID_EXPERIMENT
    return HOLDS
