"""Was a unit sold twice? Judged from the event log, which is the truth, not from answers alone.

Per slot the changes are folded in version order; every booking after which more is sold than there is, is a witness. The fold is believed only
if nothing is missing: versions dense from 1, the state written in each event equal to the fold, every booking answered 201 in the log, and the
slot at rest shown as the fold ends. Otherwise the verdict is `unknown`, with the hole named, unless a witness stands before the hole.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from loadtest.history import FinalSlot, LoggedEvent, LoggedSlot, Operation
from loadtest.verdict import Fact, Judgement, Witness, judged

RULE = "no_overbooking"
BOOKINGS = ("book", "hold")
STORY = (
    "a buyer {decided}; booking {booking_id} (position {position}, version {version} of the slot) "
    "was answered {answered} and made it {sold} units sold of {limit}"
)


def no_overbooking(
    operations: Sequence[Operation], events: Sequence[LoggedEvent], final: FinalSlot
) -> Judgement:
    """Judges one slot; events and operations of other slots are passed over.

    Opportunities are the bookings that asked for more than was left: those refused, and those that should have been.
    """
    changes = sorted(
        (
            (slot, event)
            for event in events
            for slot in event.slots
            if slot.slot_id == final.slot_id
        ),
        key=lambda change: change[0].version,
    )
    bookings = {o.key: o for o in operations if o.op in BOOKINGS and _touches(o, final.slot_id)}
    looks = {o.journey: o for o in operations if o.op == "look" and o.slot_id == final.slot_id}

    witnesses: list[Witness] = []
    hole: str | None = None
    sold = 0
    for expected_version, (slot, event) in enumerate(changes, start=1):
        sold += slot.units
        hole = _hole_in(slot, expected_version, sold)
        if hole is not None:
            break
        limit = slot.capacity + slot.overbooking_units
        if slot.units > 0 and sold > limit:
            witnesses.append(
                _witness(slot, event, sold=sold, limit=limit, bookings=bookings, looks=looks)
            )
    hole = hole or _disagreement(changes, sold, bookings, final)
    refused = sum(o.status == 409 for o in bookings.values())
    return judged(RULE, opportunities=refused + len(witnesses), witnesses=witnesses, hole=hole)


def _touches(operation: Operation, slot_id: str) -> bool:
    return operation.slot_id == slot_id or any(line.slot_id == slot_id for line in operation.lines)


def _hole_in(slot: LoggedSlot, expected_version: int, sold: int) -> str | None:
    """What is wrong with a logged change as evidence, None when it continues the fold."""
    if slot.version != expected_version:
        return f"version {expected_version} of the slot is not in the log (the next one is {slot.version})"
    if slot.held + slot.confirmed != sold:
        written = slot.held + slot.confirmed
        return f"at version {slot.version} the log says {written} units are sold, its own changes add up to {sold}"
    return None


def _disagreement(
    changes: Sequence[tuple[LoggedSlot, LoggedEvent]],
    sold: int,
    bookings: Mapping[str | None, Operation],
    final: FinalSlot,
) -> str | None:
    logged = {event.command_id for _, event in changes}
    for key, booking in bookings.items():
        if booking.status == 201 and key not in logged:
            return f"booking {key} was answered 201 and is not in the log"
    if final.version != len(changes) or final.held + final.confirmed != sold:
        return (
            f"the log ends at version {len(changes)} with {sold} units sold, "
            f"the slot at rest says version {final.version} with {final.held + final.confirmed}"
        )
    return None


def _witness(
    slot: LoggedSlot,
    event: LoggedEvent,
    *,
    sold: int,
    limit: int,
    bookings: Mapping[str | None, Operation],
    looks: Mapping[int, Operation],
) -> Witness:
    booking = bookings.get(event.command_id)
    look = looks.get(booking.journey) if booking is not None else None
    decided = "decided on what was shown"
    if look is not None and look.remaining is not None and look.as_of is not None:
        ago_ms = (event.recorded_at - look.as_of) / timedelta(milliseconds=1)
        decided = f"decided on {look.remaining} units left, which was {ago_ms:.0f} ms ago"
    facts: dict[str, Fact] = {
        "decided": decided,
        "slot_id": slot.slot_id,
        "booking_id": event.booking_id,
        "command_id": event.command_id,
        "position": event.position,
        "version": slot.version,
        "units": slot.units,
        "sold": sold,
        "limit": limit,
        "answered": booking.status if booking is not None else "nothing",
    }
    return Witness(story=STORY, facts=facts, size=(sold - limit) * 1_000_000 + slot.version)
