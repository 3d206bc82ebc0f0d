"""Does a unit have one owner at a time? A booking owns its units from its first event until it is released, expired or cancelled.

Nobody may come back from the end: a booking confirmed after its units were given to somebody else is paid for and resold. And whoever was told
that they own something must own it by the log.
"""

from collections.abc import Container, Mapping, Sequence

from loadtest.history import LoggedEvent, Operation
from loadtest.verdict import Judgement, Witness, judged

RULE = "ownership"
ENDS = ("released", "expired", "cancelled")


def ownership(operations: Sequence[Operation], events: Sequence[LoggedEvent]) -> Judgement:
    """Judges every booking of the log. Opportunities are bookings that were told to end or to be confirmed."""
    ended: dict[str, LoggedEvent] = {}
    confirmed: set[str] = set()
    known: set[str] = set()
    witnesses: list[Witness] = []
    opportunities = 0
    for event in sorted(events, key=lambda event: event.position):
        if event.booking_id is None or event.data.state is None:
            continue
        known.add(event.booking_id)
        if event.data.before is not None:
            opportunities += 1
        if event.booking_id in ended and event.data.state not in ENDS:
            witnesses.append(_came_back(ended[event.booking_id], event))
        if event.data.state in ENDS:
            ended[event.booking_id] = event
        if event.data.state == "confirmed":
            confirmed.add(event.booking_id)
    lies, hole = _told(operations, known, confirmed, ended)
    return judged(RULE, opportunities=opportunities, witnesses=[*witnesses, *lies], hole=hole)


def _told(
    operations: Sequence[Operation],
    known: Container[str],
    confirmed: Container[str],
    ended: Mapping[str, LoggedEvent],
) -> tuple[list[Witness], str | None]:
    """Confirmations that were answered and are not true, and one that nobody can tell about."""
    lies: list[Witness] = []
    hole: str | None = None
    for operation in operations:
        if operation.op != "confirm" or operation.status != 200 or operation.booking_id is None:
            continue
        if operation.booking_id not in known:
            hole = (
                hole
                or f"booking {operation.booking_id}, confirmed to journey {operation.journey}, is not in the log"
            )
        elif operation.booking_id not in confirmed:
            lies.append(_never_owned(operation, ended.get(operation.booking_id)))
    return lies, hole


def _came_back(end: LoggedEvent, event: LoggedEvent) -> Witness:
    return Witness(
        story="booking {booking_id} was {ended} at position {end}, its units were free for others, and at position {position} it is {state} again",
        facts={
            "booking_id": event.booking_id,
            "ended": end.data.state,
            "end": end.position,
            "position": event.position,
            "state": event.data.state,
        },
        size=event.position - end.position,
    )


def _never_owned(operation: Operation, end: LoggedEvent | None) -> Witness:
    return Witness(
        story="journey {journey} was told that booking {booking_id} is confirmed; by the log it is {state}",
        facts={
            "journey": operation.journey,
            "booking_id": operation.booking_id,
            "state": end.data.state if end is not None else "held",
        },
        size=operation.journey,
    )
