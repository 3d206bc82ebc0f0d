"""Is every accepted change of a slot's capacity built on the one before it? Two successes that name the same parent version have lost one of them."""

from collections.abc import Sequence

from loadtest.history import LoggedEvent, Operation
from loadtest.verdict import Judgement, Witness, judged

RULE = "no_lost_update"


def no_lost_update(operations: Sequence[Operation], events: Sequence[LoggedEvent]) -> Judgement:  # noqa: ARG001 -- all checkers take both
    """Judges accepted resizes; an editor's parent is the version they had last been shown. Opportunities are accepted resizes."""
    parents: dict[tuple[str | None, int], Operation] = {}
    shown: dict[tuple[str, int, str | None], int] = {}
    witnesses: list[Witness] = []
    opportunities = 0
    hole: str | None = None
    for operation in sorted(operations, key=lambda o: o.invoke_ns):
        who = (operation.run, operation.journey, operation.slot_id)
        if operation.op == "look" and operation.version is not None:
            shown[who] = operation.version
        if operation.op != "resize":
            continue
        if operation.outcome == "indeterminate":
            hole = (
                hole or f"nobody knows whether the resize of journey {operation.journey} happened"
            )
        if operation.outcome != "ok":
            continue
        parent = operation.if_match if operation.if_match is not None else shown.get(who)
        if parent is None:
            hole = (
                hole or f"what journey {operation.journey} had seen before its resize is not known"
            )
            continue
        opportunities += 1
        other = parents.setdefault((operation.slot_id, parent), operation)
        if other is not operation:
            facts = {
                "one": other.journey,
                "other": operation.journey,
                "parent": parent,
                "slot_id": operation.slot_id,
            }
            story = "journeys {one} and {other} both changed version {parent} of slot {slot_id} and were told it is done: one of the changes is lost"
            witnesses.append(Witness(story=story, facts=facts, size=parent))
    return judged(RULE, opportunities=opportunities, witnesses=witnesses, hole=hole)
