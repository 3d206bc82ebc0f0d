"""Does everybody who asked for several slots have all of them, or none? Judged by the log at rest.

A booking must have exactly the lines of the last request about it that was accepted; a request that was refused has changed nothing. A request
that was never answered may have happened or not.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from msgspec import Struct

from loadtest.history import LoggedEvent, Operation
from loadtest.verdict import Judgement, Witness, judged

RULE = "whole_stays"
LIVE = ("held", "confirmed")
ASKS_FOR_LINES = ("book", "hold", "reschedule")

Units = Mapping[str, int]
"""Per slot."""


class _Booking(Struct):
    state: str = ""
    units: Units = {}
    position: int = 0


def whole_stays(operations: Sequence[Operation], events: Sequence[LoggedEvent]) -> Judgement:
    """Judges every live booking. Opportunities are requests for lines.

    A booking that nobody of this history asked for is a hole, and so is one that was accepted and is not in the log.
    """
    asked: dict[str, list[Operation]] = defaultdict(list)
    opportunities = 0
    for operation in operations:
        if operation.op in ASKS_FOR_LINES and operation.booking_id is not None:
            asked[operation.booking_id].append(operation)
            opportunities += 1
    witnesses: list[Witness] = []
    bookings = _at_rest(events)
    hole = next(
        (
            f"booking {booking_id}, accepted for journey {tries[0].journey}, is not in the log"
            for booking_id, tries in asked.items()
            if booking_id not in bookings and any(o.outcome == "ok" for o in tries)
        ),
        None,
    )
    for booking_id, booking in bookings.items():
        if booking.state not in LIVE:
            continue
        if booking_id not in asked:
            hole = (
                hole
                or f"booking {booking_id} is in the log and was asked for by nobody of this history"
            )
        elif booking.units not in _possible(asked[booking_id]):
            witnesses.append(_partial(booking_id, booking, asked[booking_id]))
    return judged(RULE, opportunities=opportunities, witnesses=witnesses, hole=hole)


def _at_rest(events: Sequence[LoggedEvent]) -> dict[str, _Booking]:
    bookings: dict[str, _Booking] = defaultdict(_Booking)
    for event in sorted(events, key=lambda event: event.position):
        if event.booking_id is None:
            continue
        booking = bookings[event.booking_id]
        booking.state = event.data.state or booking.state
        booking.position = event.position
        if event.data.lines is not None:
            booking.units = {line.slot_id: line.units for line in event.data.lines}
    return bookings


def _possible(tries: Sequence[Operation]) -> list[Units]:
    """What a booking may have after these requests, which one person made one after the other."""
    possible: list[Units] = []
    for operation in tries:
        if operation.outcome == "ok":
            possible = [wanted(operation)]
        elif operation.outcome == "indeterminate":
            possible.append(wanted(operation))
    return possible


def wanted(operation: Operation) -> Units:
    """Units per slot; lines of one slot add up."""
    if not operation.lines:
        return {operation.slot_id or "": operation.units}
    units: Counter[str] = Counter()
    for line in operation.lines:
        units[line.slot_id] += line.units
    return dict(units)


def _partial(booking_id: str, booking: _Booking, tries: Sequence[Operation]) -> Witness:
    last = tries[-1]
    return Witness(
        story="journey {journey} asked for {asked} slots ({op}) and was answered {status}; by the log (position {position}) booking {booking_id} has {has}",
        facts={
            "journey": last.journey,
            "op": last.op,
            "asked": len(wanted(last)),
            "status": last.status,
            "position": booking.position,
            "booking_id": booking_id,
            "has": len(booking.units),
        },
        size=len(wanted(last)) * 1_000_000 + booking.position,
    )
