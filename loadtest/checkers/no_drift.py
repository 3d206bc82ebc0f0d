"""Does the read model at rest say what the log says? Compared slot by slot with the newest event of each; nothing heals a difference at rest."""

from collections.abc import Sequence

from loadtest.evidence.ground_truth import Truth
from loadtest.history import FinalSlot, LoggedEvent
from loadtest.verdict import Fact, Judgement, Witness, judged

RULE = "no_drift"
MEMBERS = ("version", "capacity", "overbooking_units", "held", "confirmed", "remaining")


def no_drift(events: Sequence[LoggedEvent], finals: Sequence[FinalSlot]) -> Judgement:
    """Judges slots read when everything had come to rest. Opportunities are slots; one the log does not know is a hole."""
    truth = Truth([], events)
    witnesses: list[Witness] = []
    opportunities = 0
    hole: str | None = None
    for final in finals:
        changes = truth.changes(final.slot_id)
        if not changes:
            hole = hole or f"slot {final.slot_id} is not in the log"
            continue
        opportunities += 1
        newest = changes[-1].slot
        wrong = [m for m in MEMBERS if getattr(final, m) != getattr(newest, m)]
        if wrong:
            facts: dict[str, Fact] = {
                "slot_id": final.slot_id,
                "member": wrong[0],
                "shown": getattr(final, wrong[0]),
                "logged": getattr(newest, wrong[0]),
            }
            story = "slot {slot_id} at rest shows {member} {shown}, the log ends with {logged}"
            witnesses.append(Witness(story=story, facts=facts, size=len(wrong)))
    return judged(RULE, opportunities=opportunities, witnesses=witnesses, hole=hole)
