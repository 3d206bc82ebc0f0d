"""Has every event of the log been delivered to the read model? set(log) − set(applied), slot by slot, when all has come to rest.

Nothing heals what is missing: readers of the log who have passed a number do not come back for it.
"""

from collections.abc import Mapping, Sequence

from loadtest.history import LoggedEvent
from loadtest.verdict import Judgement, Witness, judged

RULE = "every_event_delivered"


def every_event_delivered(
    events: Sequence[LoggedEvent], applied: Mapping[str, Sequence[int]]
) -> Judgement:
    """Opportunities are events about the slots that were asked.

    Args:
        events: the log.
        applied: by slot, the positions that its history in the read model names.
    """
    witnesses: list[Witness] = []
    opportunities = 0
    hole: str | None = None
    known = {event.position for event in events}
    for slot_id, positions in applied.items():
        there = set(positions)
        newest = max(there, default=0)
        about_it = [e for e in events if any(slot.slot_id == slot_id for slot in e.slots)]
        opportunities += len(about_it)
        witnesses += [
            Witness(
                story="{type} at position {position} of the log was never delivered for slot {slot_id}, which is told up to position {newest}",
                facts={
                    "type": event.type,
                    "position": event.position,
                    "slot_id": slot_id,
                    "newest": newest,
                },
                size=event.position,
            )
            for event in about_it
            if event.position not in there
        ]
        if beyond := there - known:
            hole = hole or f"position {min(beyond)} of slot {slot_id} is not in the log"
    return judged(RULE, opportunities=opportunities, witnesses=witnesses, hole=hole)
