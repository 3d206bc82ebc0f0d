"""Was what somebody wanted once done once, however often they tried?

Tries of one wish share the operation's `intent`. The log must not have more than one booking made by keys of one intent. Two answers to the same
key must be equal to the byte (`digest`), except that the second says it is a repetition.
"""

from collections import defaultdict
from collections.abc import Sequence

from loadtest.checkers.integrity import NEW, UNREAD
from loadtest.history import LoggedEvent, Operation
from loadtest.verdict import Judgement, Witness, judged

RULE = "one_booking_per_intent"


def one_booking_per_intent(
    operations: Sequence[Operation], events: Sequence[LoggedEvent]
) -> Judgement:
    """Judges every intent. Opportunities are intents that were tried more than once."""
    made: dict[str, list[LoggedEvent]] = defaultdict(list)
    for event in events:
        if event.type in NEW and event.data.before is None and event.booking_id is not None:
            made[event.command_id].append(event)
    tries: dict[tuple[str, str], list[Operation]] = defaultdict(list)
    for operation in operations:
        if operation.intent is not None:
            tries[operation.run, operation.intent].append(operation)
    witnesses: list[Witness] = []
    opportunities = 0
    hole = None if events else UNREAD
    for (_, intent), of_one in tries.items():
        if len(of_one) < 2:
            continue
        opportunities += 1
        keys = {operation.key for operation in of_one if operation.key is not None}
        if not keys:
            hole = (
                hole
                or f"the tries of intent {intent} had no keys, so the log does not tell whose its bookings are"
            )
        bookings = [event for key in keys for event in made[key]]
        if len(bookings) > 1:
            witnesses.append(_twice(intent, of_one, bookings))
        witnesses += _unequal(of_one)
    return judged(RULE, opportunities=opportunities, witnesses=witnesses, hole=hole)


def _twice(intent: str, tries: Sequence[Operation], bookings: Sequence[LoggedEvent]) -> Witness:
    return Witness(
        story="journey {journey} wanted one booking (intent {intent}), tried {tries} times and has {bookings}: positions {positions}",
        facts={
            "journey": tries[0].journey,
            "intent": intent,
            "tries": len(tries),
            "bookings": len(bookings),
            "positions": ", ".join(str(event.position) for event in bookings),
        },
        size=len(tries),
    )


def _unequal(tries: Sequence[Operation]) -> list[Witness]:
    first: dict[str | None, Operation] = {}
    found = []
    for operation in tries:
        if operation.outcome != "ok" or operation.digest is None:
            continue
        earlier = first.setdefault(operation.key, operation)
        if earlier.digest != operation.digest or earlier.status != operation.status:
            story = "journey {journey} repeated key {key} and was answered something else ({status}, {digest}) than before ({before_status}, {before})"
            found.append(
                Witness(
                    story=story,
                    facts={
                        "journey": operation.journey,
                        "key": operation.key,
                        "status": operation.status,
                        "digest": operation.digest,
                        "before_status": earlier.status,
                        "before": earlier.digest,
                    },
                    size=len(tries),
                )
            )
    return found
