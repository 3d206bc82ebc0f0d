"""Are commands decided in an order that agrees with real time?

Answers carry the slot's version, so linearizability needs no search: in the order of versions, nobody may have begun after someone later had
already been answered. O(n log n). A command that changed nothing answers the version there is; the log tells which did.
"""

from collections import defaultdict
from collections.abc import Sequence

from loadtest.history import LoggedEvent, Operation
from loadtest.verdict import Judgement, Witness, judged

RULE = "real_time_order"


def real_time_order(operations: Sequence[Operation], events: Sequence[LoggedEvent]) -> Judgement:
    """Judges the commands that made a version of a slot, by what they were answered. Opportunities are pairs of neighbours."""
    made_by = {
        (slot.slot_id, slot.version): event.command_id for event in events for slot in event.slots
    }
    accepted: dict[str, list[tuple[int, Operation]]] = defaultdict(list)
    for operation in operations:
        if operation.key is None or operation.outcome != "ok" or operation.replayed:
            continue
        named = [(operation.slot_id, operation.version)]
        named += [(line.slot_id, line.version) for line in operation.lines]
        for slot_id, version in named:
            if slot_id is None or version is None:
                continue
            if made_by.get((slot_id, version)) == operation.key:
                accepted[slot_id].append((version, operation))
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
