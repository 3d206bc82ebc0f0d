"""Are the numbers dense? Positions of the log, versions of every slot and of every booking go 1, 2, 3 … without a hole or a repetition.

Takes a whole log (or one from some position on), not one cut to a few slots.
"""

from collections.abc import Sequence

from loadtest.history import LoggedEvent, Operation
from loadtest.verdict import Fact, Judgement, Witness, judged

RULE = "dense_numbers"


def dense_numbers(operations: Sequence[Operation], events: Sequence[LoggedEvent]) -> Judgement:  # noqa: ARG001 -- all checkers take both
    """Judges the log. Opportunities are numbers given out; an empty log decides nothing. What began before the log's first position may begin anywhere."""
    witnesses: list[Witness] = []
    opportunities = 0
    last: dict[str, int] = {}
    begins_at = min((event.position for event in events), default=1)
    for event in events:
        numbers = [("the log's position", event.position)]
        numbers += [(f"the version of slot {slot.slot_id}", slot.version) for slot in event.slots]
        if event.booking_id is not None and event.data.version is not None:
            numbers.append((f"the version of booking {event.booking_id}", event.data.version))
        for what, number in numbers:
            opportunities += 1
            first = what not in last
            expected = last.get(what, 0) + 1
            if number != expected and not (first and begins_at > 1):
                story = "after {before} {what} is {number} (position {position})"
                facts: dict[str, Fact] = {
                    "before": expected - 1,
                    "what": what,
                    "number": number,
                    "position": event.position,
                }
                witnesses.append(Witness(story=story, facts=facts, size=abs(number - expected)))
            last[what] = number
    return judged(RULE, opportunities=opportunities, witnesses=witnesses)
