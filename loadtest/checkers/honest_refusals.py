"""Is every refusal true? A 409 for lack of units names the version v that it was decided on.

It needs A(v) to be less than was asked for, v committed before the answer, and v + 1 not committed before the request: else somebody was turned
away from units that were there (a false sold-out).
"""

from collections.abc import Iterator, Sequence

from loadtest.evidence.ground_truth import Truth
from loadtest.history import LoggedEvent, Operation
from loadtest.verdict import Fact, Judgement, Witness, judged

RULE = "honest_refusals"


def honest_refusals(operations: Sequence[Operation], events: Sequence[LoggedEvent]) -> Judgement:
    """Judges every 409 `capacity-exceeded`, line by line. Opportunities are refused lines; one that names a version not in the log is a hole."""
    truth = Truth(operations, events)
    witnesses: list[Witness] = []
    opportunities = 0
    hole: str | None = None
    for operation in operations:
        if operation.status != 409 or operation.problem not in (None, "capacity-exceeded"):
            continue
        for slot_id, units, version, said in _refused(operation):
            change = truth.change(slot_id, version)
            if change is None:
                hole = (
                    hole
                    or f"version {version} of slot {slot_id}, by which journey {operation.journey} was refused, is not in the log"
                )
                continue
            opportunities += 1
            facts: dict[str, Fact] = {
                "journey": operation.journey,
                "slot_id": slot_id,
                "units": units,
                "version": version,
                "left": change.remaining,
                "said": said,
            }
            why = _dishonest(truth, operation, slot_id, version, units, said, change.remaining)
            if why is not None:
                witnesses.append(
                    Witness(
                        story=f"journey {{journey}} was refused {{units}} units of slot {{slot_id}} at version {{version}}, {why}",
                        facts=facts,
                        size=version,
                    )
                )
    return judged(RULE, opportunities=opportunities, witnesses=witnesses, hole=hole)


def _refused(operation: Operation) -> Iterator[tuple[str, int, int, int | None]]:
    """Slot, units asked for, version named, remaining named."""
    if operation.slot_id is not None and operation.version is not None:
        yield operation.slot_id, operation.units, operation.version, operation.remaining
    asked: dict[str, int] = {}
    for line in operation.lines:
        # Lines of one slot are merged before they are judged.
        asked[line.slot_id] = asked.get(line.slot_id, 0) + line.units
    seen: set[str] = set()
    for line in operation.lines:
        if line.version is not None and line.slot_id not in seen:
            seen.add(line.slot_id)
            yield line.slot_id, asked[line.slot_id], line.version, line.remaining


def _dishonest(  # noqa: PLR0917 -- the parts of one refusal
    truth: Truth,
    operation: Operation,
    slot_id: str,
    version: int,
    units: int,
    said: int | None,
    left: int,
) -> str | None:
    if left >= units:
        return "where {left} were left"
    if said is not None and said != left:
        return "which left {left}, not {said} as it said"
    if truth.earliest_commit_ns(slot_id, version) > operation.return_ns:
        return "which was not there yet when it was answered"
    if truth.latest_commit_ns(slot_id, version + 1) < operation.invoke_ns:
        return "which was over before it asked"
    return None
