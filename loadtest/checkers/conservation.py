"""Do the counters of every slot equal what its bookings have, and does every booking have all its lines or none?

The bookings are folded from the log (state and lines); after each event the slot's `held` and `confirmed` must be their sums. A booking that took
fewer of its slots than it has lines is a partial one.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

from loadtest.history import LoggedEvent, LoggedLine, LoggedSlot, Operation
from loadtest.verdict import Judgement, Witness, judged

RULE = "conservation"
LIVE = ("held", "confirmed")


class _Booking:
    def __init__(self) -> None:
        self.state: str | None = None
        self.lines: list[LoggedLine] = []


def conservation(operations: Sequence[Operation], events: Sequence[LoggedEvent]) -> Judgement:  # noqa: ARG001 -- all checkers take both
    """Judges the log. Opportunities are slots touched by bookings; a booking whose beginning is not in the log is a hole."""
    bookings: dict[str, _Booking] = defaultdict(_Booking)
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    witnesses: list[Witness] = []
    opportunities = 0
    hole: str | None = None
    broken: set[str] = set()
    for event in sorted(events, key=lambda event: event.position):
        if event.booking_id is None:
            continue
        booking = bookings[event.booking_id]
        if booking.state is None and event.data.before is not None:
            hole = (
                hole
                or f"the beginning of booking {event.booking_id} is not in the log (position {event.position})"
            )
            break
        if booking.state is None and (missing := _left_out(event)):
            witnesses.append(_partial(event, missing))
        _count(counted, booking, -1)
        booking.state = event.data.state or booking.state
        booking.lines = event.data.lines if event.data.lines is not None else booking.lines
        _count(counted, booking, +1)
        for slot in event.slots:
            opportunities += 1
            sums = counted[slot.slot_id]
            if slot.slot_id not in broken and (slot.held, slot.confirmed) != (
                sums["held"],
                sums["confirmed"],
            ):
                broken.add(slot.slot_id)
                witnesses.append(_witness(event, slot, sums))
    return judged(RULE, opportunities=opportunities, witnesses=witnesses, hole=hole)


def _count(counted: dict[str, Counter[str]], booking: _Booking, sign: int) -> None:
    if booking.state in LIVE:
        for line in booking.lines:
            counted[line.slot_id][booking.state] += sign * line.units


def _left_out(event: LoggedEvent) -> list[str]:
    touched = {slot.slot_id for slot in event.slots}
    return [line.slot_id for line in event.data.lines or [] if line.slot_id not in touched]


def _partial(event: LoggedEvent, missing: list[str]) -> Witness:
    return Witness(
        story="booking {booking_id} (position {position}) has a line on slot {slot_id} and took nothing there",
        facts={"booking_id": event.booking_id, "position": event.position, "slot_id": missing[0]},
        size=event.position,
    )


def _witness(event: LoggedEvent, slot: LoggedSlot, sums: Counter[str]) -> Witness:
    return Witness(
        story="at version {version} (position {position}) slot {slot_id} counts {held} held and {confirmed} confirmed, its bookings have {sum_held} and {sum_confirmed}",
        facts={
            "slot_id": slot.slot_id,
            "version": slot.version,
            "position": event.position,
            "held": slot.held,
            "confirmed": slot.confirmed,
            "sum_held": sums["held"],
            "sum_confirmed": sums["confirmed"],
        },
        size=event.position,
    )
