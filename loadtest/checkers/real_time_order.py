"""Are commands decided in an order that agrees with real time?

Answers carry the slot's version, so linearizability needs no search: in the order of versions, nobody may have begun after someone later had
already been answered. O(n log n).
"""

from collections import defaultdict
from collections.abc import Sequence

from loadtest.history import LoggedEvent, Operation
from loadtest.verdict import Judgement, Witness, judged

RULE = "real_time_order"


def real_time_order(operations: Sequence[Operation], events: Sequence[LoggedEvent]) -> Judgement:  # noqa: ARG001 -- all checkers take both
    """Judges the accepted commands of every slot by the versions they were answered. Opportunities are pairs of neighbours."""
    accepted: dict[str, list[tuple[int, Operation]]] = defaultdict(list)
    for operation in operations:
        if (
            operation.op in ("look", "read_booking")
            or operation.outcome != "ok"
            or operation.replayed
        ):
            continue
        if operation.slot_id is not None and operation.version is not None:
            accepted[operation.slot_id].append((operation.version, operation))
        for line in operation.lines:
            if line.version is not None:
                accepted[line.slot_id].append((line.version, operation))
    witnesses: list[Witness] = []
    opportunities = 0
    for slot_id, of_slot in accepted.items():
        of_slot.sort(key=lambda pair: pair[0])
        opportunities += len(of_slot) - 1
        first_answered: tuple[int, Operation] | None = None
        for version, operation in reversed(of_slot):
            if first_answered is not None and operation.invoke_ns > first_answered[1].return_ns:
                witnesses.append(_witness(slot_id, version, operation, first_answered))
            if first_answered is None or operation.return_ns < first_answered[1].return_ns:
                first_answered = (version, operation)
    return judged(RULE, opportunities=opportunities, witnesses=witnesses)


def _witness(slot_id: str, version: int, late: Operation, early: tuple[int, Operation]) -> Witness:
    gap_ms = (late.invoke_ns - early[1].return_ns) / 1e6
    return Witness(
        story="journey {late} made version {version} of slot {slot_id}, but began {gap_ms:.3f} ms after journey {early} had been answered version {later}",
        facts={
            "late": late.journey,
            "version": version,
            "slot_id": slot_id,
            "gap_ms": gap_ms,
            "early": early[1].journey,
            "later": early[0],
        },
        size=early[0] - version,
    )
