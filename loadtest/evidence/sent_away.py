"""Who was sent away although a unit was free, by the log and the history. Pure.

A unit is certainly free from the last moment at which its release can have been committed until the first at which the next booking can have
been: whoever was told "sold out" for a moment in between was told wrong. How wrong is how long it had been free.
"""

from collections.abc import Sequence

from msgspec import Struct

from loadtest.evidence.ground_truth import Truth
from loadtest.evidence.trial import Record
from loadtest.verdict import Judgement, Witness, judged

RULE = "told_in_time"


class Leaving(Struct, frozen=True, kw_only=True):
    """Somebody went away because "sold out" was what they were told: for which moment, on which version, and when that had been shown."""

    journey: int
    at_ns: int
    version: int
    shown_ns: int


class FalseNo(Struct, frozen=True, kw_only=True):
    """Somebody was sent away although a unit was certainly free, and had been for `late_ms` at least."""

    leaving: Leaving
    current: int
    late_ms: float


def false_noes(leavings: Sequence[Leaving], truth: Truth, slot_id: str) -> list[FalseNo]:
    """Those who could have had a unit at the moment they were told for; where commits leave it open, nobody."""
    found = []
    for leaving in leavings:
        current = truth.committed_before(slot_id, leaving.at_ns)
        overtaken = truth.change(slot_id, current + 1) is not None and (
            truth.earliest_commit_ns(slot_id, current + 1) <= leaving.at_ns
        )
        free_since = current
        while _remaining(truth, slot_id, free_since - 1):
            free_since -= 1
        if not overtaken and _remaining(truth, slot_id, current):
            late_ms = (leaving.at_ns - truth.latest_commit_ns(slot_id, free_since)) / 1e6
            found.append(FalseNo(leaving=leaving, current=current, late_ms=late_ms))
    return found


def _remaining(truth: Truth, slot_id: str, version: int) -> int:
    change = truth.change(slot_id, version)
    return change.remaining if change is not None else 0


def told_in_time(
    leavings: Sequence[Leaving],
    noes: Sequence[FalseNo],
    *,
    bound_ms: float,
    hole: str | None = None,
) -> Judgement:
    """Opportunities are all who were told "sold out"; a witness is one for whom a unit had been free for longer than the bound."""
    witnesses = [
        Witness(
            story='journey {journey} was told "sold out" on version {version}, while a unit was free since {late_ms:.0f} ms (version {current})',
            facts={
                "journey": no.leaving.journey,
                "version": no.leaving.version,
                "current": no.current,
                "late_ms": no.late_ms,
            },
            size=no.late_ms,
        )
        for no in noes
        if no.late_ms > bound_ms and no.leaving.version <= no.current
    ]
    return judged(RULE, opportunities=len(leavings), witnesses=witnesses, hole=hole)


def unsold_unit_s(record: Record, truth: Truth) -> float:
    """Units free times how long, from the first release on."""
    slot_id = record.trial.slot_ids[0]
    changes = truth.changes(slot_id)
    released = [n for n, change in enumerate(changes) if change.event.type == "HoldReleased"]
    total_ns = 0.0
    for number in range(released[0] if released else len(changes), len(changes)):
        until_ns = (
            committed_ns(truth, slot_id, changes[number + 1].slot.version)
            if number + 1 < len(changes)
            else record.trial.ended_ns
        )
        since_ns = committed_ns(truth, slot_id, changes[number].slot.version)
        total_ns += changes[number].remaining * (until_ns - since_ns)
    return total_ns / 1e9


def committed_ns(truth: Truth, slot_id: str, version: int) -> float:
    """The middle of what can be known, for pictures and sums; never for a verdict."""
    earliest, latest = (
        truth.earliest_commit_ns(slot_id, version),
        truth.latest_commit_ns(slot_id, version),
    )
    return (earliest + latest) / 2
