"""Does the log tell one consistent story, and the same as the answers?

Per slot: the state in each event is the fold of the changes, and what is left is never negative. From event to event: the moment at which it was
recorded never goes back, or "all up to this moment" would leave out what comes later. Between log and answers: every booking answered
201 is in the log exactly once, and every booking in the log was answered 201 or is indeterminate.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise

from loadtest.evidence.ground_truth import Truth
from loadtest.history import LoggedEvent, Operation
from loadtest.verdict import Judgement, Witness, judged

RULE = "integrity"
NEW = ("HoldPlaced", "BookingConfirmed")
UNREAD = "the log was not read: not even the opening of a slot is in it"


def integrity(operations: Sequence[Operation], events: Sequence[LoggedEvent]) -> Judgement:
    """Judges all slots of the log. Opportunities are versions of slots and bookings; a missing version is a hole.

    Moments are compared with each other only, one after the other: events left out hide a step back, and make none. Of an empty log nothing is
    said: who may not read it has none.
    """
    states, versions, hole = _slots(Truth(operations, events))
    moments = _moments(events)
    answers, bookings, stranger = _answers(operations, events)
    if not events:
        return judged(RULE, opportunities=bookings, hole=UNREAD)
    return judged(
        RULE,
        opportunities=versions + bookings,
        witnesses=[*states, *moments, *answers],
        hole=hole or stranger,
    )


def _slots(truth: Truth) -> tuple[list[Witness], int, str | None]:
    """Witnesses, versions judged, and the first hole."""
    witnesses: list[Witness] = []
    judged_versions = 0
    hole: str | None = None
    for slot_id in truth.slot_ids:
        sold = 0
        for expected, change in enumerate(truth.changes(slot_id), start=1):
            if change.slot.version != expected:
                hole = hole or f"version {expected} of slot {slot_id} is not in the log"
                break
            judged_versions += 1
            sold += change.slot.units
            written = change.slot.held + change.slot.confirmed
            if written != sold or change.remaining < 0:
                witnesses.append(_state(slot_id, expected, sold, written, change.remaining))
                break
    return witnesses, judged_versions, hole


def _moments(events: Sequence[LoggedEvent]) -> list[Witness]:
    """Events recorded earlier than the one before them."""
    in_order = sorted(events, key=lambda event: event.position)
    return [
        Witness(
            story="position {position} was recorded at {recorded_at}, {back_ms} ms before position {before}",
            facts={
                "position": event.position,
                "recorded_at": event.recorded_at.isoformat(),
                "back_ms": round((last.recorded_at - event.recorded_at).total_seconds() * 1000, 3),
                "before": last.position,
            },
            size=event.position,
        )
        for last, event in pairwise(in_order)
        if event.recorded_at < last.recorded_at
    ]


def _answers(
    operations: Sequence[Operation], events: Sequence[LoggedEvent]
) -> tuple[list[Witness], int, str | None]:
    """Witnesses, bookings judged, and a booking of somebody who is not in the history."""
    logged = Counter(
        event.command_id
        for event in events
        if event.type in NEW and event.data.before is None and event.booking_id is not None
    )
    tries: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        if operation.op in ("book", "hold") and operation.key is not None:
            tries[operation.key].append(operation)
    witnesses: list[Witness] = []
    for key, of_key in tries.items():
        if any(o.status == 201 for o in of_key) and logged[key] != 1:
            witnesses.append(_answer(of_key[0], 201, logged[key]))
        elif logged[key] and all(o.outcome == "failed" for o in of_key):
            witnesses.append(_answer(of_key[0], of_key[0].status, logged[key]))
    stranger = next((key for key in logged if key not in tries), None)
    hole = (
        f"booking {stranger} is in the log and was made by nobody of this history"
        if stranger is not None
        else None
    )
    return witnesses, len(tries), hole


def _state(slot_id: str, version: int, sold: int, written: int, remaining: int) -> Witness:
    return Witness(
        story="at version {version} of slot {slot_id} the log says {written} units are sold and {remaining} are left, its own changes add up to {sold} sold",
        facts={
            "slot_id": slot_id,
            "version": version,
            "sold": sold,
            "written": written,
            "remaining": remaining,
        },
        size=version,
    )


def _answer(operation: Operation, status: int, times: int) -> Witness:
    return Witness(
        story="journey {journey} was answered {status} for booking {key}, which is in the log {times} times",
        facts={
            "journey": operation.journey,
            "status": status,
            "key": operation.key,
            "times": times,
        },
        size=abs(times - 1),
    )
