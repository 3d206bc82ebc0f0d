"""What an event makes of a slot: its next version, and counters that its booking explains."""

from typing import Final, NamedTuple

from booking.audit.entities import Slot
from booking.events.envelope import SlotChange


class SlotFacts(NamedTuple):
    """Everything an event says of a slot."""

    version: int
    resource_id: int
    open: bool
    capacity: int
    overbooking_units: int
    held: int
    confirmed: int
    units: int
    remaining: int


UNMOVED: Final = (0, 0)


def says(change: SlotChange) -> SlotFacts:
    """What the event says of a slot."""
    return SlotFacts(
        change.version,
        change.resource_id.int,
        change.state == "open",
        change.capacity,
        change.overbooking_units,
        change.held,
        change.confirmed,
        change.units,
        change.remaining,
    )


def expected(slot: Slot, kind: str, change: SlotChange, move: tuple[int, int]) -> SlotFacts:
    """What it has to say, by the slot before it and the units that its booking moves.

    A command about the slot itself may choose what it is there to choose; a booking changes
    counters only.
    """
    is_open, capacity, overbooking_units = slot.open, slot.capacity, slot.overbooking_units
    if kind in {"SlotOpened", "SlotResized"}:
        capacity, overbooking_units = change.capacity, change.overbooking_units
    elif kind in {"SlotClosed", "SlotReopened"}:
        is_open = kind == "SlotReopened"
    held, confirmed = slot.held + move[0], slot.confirmed + move[1]
    return SlotFacts(
        slot.version + 1,
        slot.resource_id,
        is_open,
        capacity,
        overbooking_units,
        held,
        confirmed,
        move[0] + move[1],
        capacity + overbooking_units - held - confirmed,
    )


def believe(slot: Slot, facts: SlotFacts) -> None:
    """The slot is from now on as the event says."""
    slot.version = facts.version
    slot.open = facts.open
    slot.capacity = facts.capacity
    slot.overbooking_units = facts.overbooking_units
    slot.held = facts.held
    slot.confirmed = facts.confirmed
