"""Slots of which more is wanted than there is: who comes for them, what they were told, and what was really sold.

Pure. They are sold in groups, one after the other: of each group twice as many units are wanted as there are.
"""

from array import array
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from msgspec import Struct

from loadtest.driver import Answer
from loadtest.driver.client import outcome_of
from loadtest.verdict import Judgement, Witness, judged

RULE = "nothing_oversold"
ACCEPTED, REFUSED, GIVEN_UP, NOT_KNOWN = 201, 409, 503, 0


class Group(Struct, frozen=True, kw_only=True):
    """Slots that are on sale at the same time, how many units each has, how many one buyer wants at most, and how many such groups there are.

    `called` is what the tables call it: slots on sale at once, or all of them where nobody meets anybody.
    """

    called: int
    slots: int
    capacity: int
    party_max: int
    groups: int


def wanted_of(group: Group, rng: Random) -> list[tuple[int, int]]:
    """Everybody who comes, in order: the slot's number and the units; of each group twice the units there are."""
    wanted: list[tuple[int, int]] = []
    for first in range(0, group.groups * group.slots, group.slots):
        of_group: list[tuple[int, int]] = []
        for slot in range(first, first + group.slots):
            left = 2 * group.capacity
            while left:
                units = min(left, rng.randint(1, group.party_max))
                of_group.append((slot, units))
                left -= units
        rng.shuffle(of_group)
        wanted += of_group
    return wanted


class Answers:
    """The status of every answer; NOT_KNOWN where it may have happened, or nobody answered."""

    def __init__(self, count: int) -> None:
        self.statuses = array("H", bytes(2 * count))

    def note(self, number: int, answer: Answer) -> None:
        """One has come."""
        if number < len(self.statuses) and outcome_of("POST", answer) != "indeterminate":
            self.statuses[number] = answer.status


class Slot(Struct):
    """What became of a slot: units of buyers who were told yes, told no, or nothing certain, and what the log says was sold."""

    capacity: int
    sold: int
    accepted: int = 0
    refused: int = 0
    unsure: int = 0

    @property
    def oversold(self) -> int:
        """Units that do not exist."""
        return max(0, self.sold - self.capacity)


def slots_of(facts: Mapping[str, Any]) -> list[Slot]:
    """What became of every slot, from what a trial noted."""
    slots = [Slot(capacity=facts["capacity"], sold=sold) for sold in facts["sold"]]
    for (number, units), status in zip(facts["wanted"], facts["statuses"], strict=True):
        slot = slots[number]
        if status == ACCEPTED:
            slot.accepted += units
        elif status == REFUSED:
            slot.refused += units
        elif status == NOT_KNOWN:
            slot.unsure += units
    return slots


def sent_away(facts: Mapping[str, Any], slots: Sequence[Slot]) -> int:
    """Buyers who were told "sold out" of a slot that in the end has what they wanted: nobody gives anything back here."""
    return sum(
        status == REFUSED and slots[number].capacity - slots[number].sold >= units
        for (number, units), status in zip(facts["wanted"], facts["statuses"], strict=True)
    )


def nothing_oversold(slot_ids: Sequence[str], slots: Sequence[Slot]) -> Judgement:
    """Opportunities are slots of which more was wanted than there is; a witness is one of which more was sold."""
    witnesses = [
        Witness(
            story="slot {slot_id} has {capacity} units, and the log says {sold} were sold, {accepted} of them answered 201",
            facts={
                "slot_id": slot_id,
                "capacity": slot.capacity,
                "sold": slot.sold,
                "accepted": slot.accepted,
            },
            size=slot.oversold,
        )
        for slot_id, slot in zip(slot_ids, slots, strict=True)
        if slot.oversold
    ]
    hole = next(
        (
            f"of slot {slot_id} {slot.accepted} units were answered 201, and the log says {slot.sold} were sold"
            for slot_id, slot in zip(slot_ids, slots, strict=True)
            if not slot.accepted <= slot.sold <= slot.accepted + slot.unsure
        ),
        None,
    )
    crowded = sum(slot.accepted + slot.refused > slot.capacity for slot in slots)
    return judged(RULE, opportunities=crowded, witnesses=witnesses, hole=hole)
