"""Is every unit there, in every reading? What is left and what is taken make the capacity, and what was taken beforehand stays taken.

Judges readings, not the log: each answer must be possible by itself, however old it is. For experiments in which nobody resizes a slot and nobody
gives back what was taken before.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from loadtest.history import Operation
from loadtest.verdict import Judgement, Witness, judged

RULE = "units_are_conserved"


class Shown(Struct, frozen=True, kw_only=True):
    """What one overview showed of the resource at a moment (nanoseconds of the generator's clock); nothing at all is zeros."""

    journey: int
    at_ns: int
    capacity: int = 0
    remaining: int = 0
    taken: int = 0
    listed: int = 0


def units_are_conserved(
    looks: Sequence[Operation],
    shown: Sequence[Shown],
    *,
    capacity: int,
    before: Mapping[str, int],
) -> Judgement:
    """Opportunities are readings; one that was refused says nothing, a 404 says that nothing is taken.

    Args:
        looks: readings of single slots.
        shown: readings of the resource they all belong to.
        capacity: of each slot.
        before: units taken of each slot, by its id, that nobody gives back.
    """
    witnesses = []
    told = [look for look in looks if tells(look)]
    for look in told:
        slot_id, taken, left = look.slot_id or "", units_taken(look), look.remaining or 0
        if taken + left != capacity or taken < before[slot_id]:
            witnesses.append(
                _witness(f"slot {slot_id}", look.journey, taken, left, before[slot_id])
            )
    least = sum(before.values())
    for s in shown:
        adds_up = s.taken + s.remaining == s.capacity == capacity * len(before)
        if not adds_up or s.taken < least or s.taken != s.listed:
            witnesses.append(_witness("the resource", s.journey, s.taken, s.remaining, least))
    return judged(RULE, opportunities=len(told) + len(shown), witnesses=witnesses)


def tells(look: Operation) -> bool:
    """Whether it says how many units are taken."""
    return look.slot_id is not None and look.status in (200, 404)


def units_taken(look: Operation) -> int:
    """So many, by this reading."""
    return (look.held or 0) + (look.confirmed or 0)


def _witness(what: str, journey: int, taken: int, left: int, least: int) -> Witness:
    return Witness(
        story="journey {journey} was shown {taken} units taken and {left} left of {what}, of which {least} were taken beforehand and given back by nobody",
        facts={"journey": journey, "taken": taken, "left": left, "what": what, "least": least},
        size=least - taken,
    )
