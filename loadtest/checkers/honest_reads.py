"""Is what a read shows a state that was, and no older than it was promised?

Value: the units shown at version v are those the log says. Promise: a read with `max-age=N` is at most N seconds stale, a strong one not at all,
measured to the disadvantage of nobody but a liar: staleness Δ is counted from the last moment at which version v + 1 can have been committed to
the beginning of the read.
"""

from collections.abc import Sequence

from msgspec import Struct

from loadtest.evidence.ground_truth import Truth
from loadtest.history import LoggedEvent, Operation
from loadtest.verdict import Fact, Judgement, Witness, judged

RULE = "honest_reads"


class Staleness(Struct, frozen=True, kw_only=True):
    """How old a read certainly was: `versions_behind` writes had returned before it began, the first of them `stale_ms` ago."""

    read: Operation
    versions_behind: int
    stale_ms: float


def stalenesses(operations: Sequence[Operation], events: Sequence[LoggedEvent]) -> list[Staleness]:
    """Of every read of a slot that was answered 200."""
    truth = Truth(operations, events)
    return [_staleness(truth, read) for read in _reads(operations)]


def honest_reads(operations: Sequence[Operation], events: Sequence[LoggedEvent]) -> Judgement:
    """Judges every read of a slot. Opportunities are reads; one of a version not in the log is a hole."""
    truth = Truth(operations, events)
    witnesses: list[Witness] = []
    opportunities = 0
    hole: str | None = None
    for read in _reads(operations):
        slot_id, version = read.slot_id or "", read.version or 0
        change = truth.change(slot_id, version)
        if change is None:
            hole = (
                hole
                or f"version {version} of slot {slot_id}, read by journey {read.journey}, is not in the log"
            )
            continue
        opportunities += 1
        facts: dict[str, Fact] = {
            "journey": read.journey,
            "slot_id": slot_id,
            "version": version,
            "shown": read.remaining,
            "left": change.remaining,
            "condition": read.condition,
        }
        if read.remaining != change.remaining:
            story = "journey {journey} was shown {shown} units left at version {version} of slot {slot_id}, which left {left}"
            witnesses.append(Witness(story=story, facts=facts, size=version))
            continue
        bound_ms = promised_ms(read)
        if bound_ms is None:
            continue
        staleness = _staleness(truth, read)
        if staleness.stale_ms > bound_ms:
            facts |= {"stale_ms": round(staleness.stale_ms, 3), "behind": staleness.versions_behind}
            story = "journey {journey} asked for {condition} and was shown version {version} of slot {slot_id}, {behind} versions and {stale_ms} ms behind"
            witnesses.append(Witness(story=story, facts=facts, size=staleness.versions_behind))
    return judged(RULE, opportunities=opportunities, witnesses=witnesses, hole=hole)


def promised_ms(read: Operation) -> float | None:
    """How stale an answer may be by what was asked for; None where nothing was."""
    words = (read.condition or "").split()
    if "strong" in words:
        return 0.0
    bounds = [float(word.removeprefix("max-age=")) for word in words if word.startswith("max-age=")]
    return bounds[0] * 1000 if bounds else None


def _reads(operations: Sequence[Operation]) -> list[Operation]:
    return [
        o
        for o in operations
        if o.op == "look" and o.status == 200 and o.slot_id is not None and o.version is not None
    ]


def _staleness(truth: Truth, read: Operation) -> Staleness:
    slot_id, version = read.slot_id or "", read.version or 0
    behind = max(0, truth.committed_before(slot_id, read.invoke_ns) - version)
    overtaken_ns = truth.latest_commit_ns(slot_id, version + 1)
    return Staleness(
        read=read,
        versions_behind=behind,
        stale_ms=max(0.0, (read.invoke_ns - overtaken_ns) / 1e6),
    )
