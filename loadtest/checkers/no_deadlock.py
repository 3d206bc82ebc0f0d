"""Did processes wait for each other in a circle? Pure.

Postgres tells the process it chooses, which runs the call again: a client sees no more than a late answer. So the processes' own counters are
asked; where nobody counts, answers that failed are all there is.
"""

from collections.abc import Sequence

from loadtest.history import Operation
from loadtest.verdict import Judgement, Witness, judged

SERVER_ERROR = 500
NOT_DECIDED = "not-decided"


def counted_no_deadlock(*, deadlocks: int, batches: int) -> Judgement:
    """No process was told by Postgres that it waits in a circle. Opportunities are batches."""
    witnesses = [
        Witness(
            story="deadlock {number} of {all} between processes that decided {batches} batches of stays",
            facts={"number": number, "all": deadlocks, "batches": batches},
            size=number,
        )
        for number in range(1, deadlocks + 1)
    ]
    return judged("no_deadlock", opportunities=batches, witnesses=witnesses)


def answered_no_deadlock(operations: Sequence[Operation]) -> Judgement:
    """No booking met an error of the server. Opportunities are bookings that were decided; of one that was not decided in time nobody can tell why."""
    stays = [o for o in operations if o.op == "book" and o.decided]
    late = sum(o.problem == NOT_DECIDED for o in operations)
    witnesses = [
        Witness(
            story="journey {journey} wanted {slots} slots and was answered {status}",
            facts={"journey": o.journey, "slots": len(o.lines), "status": o.status},
            size=o.journey,
        )
        for o in stays
        if o.status >= SERVER_ERROR
    ]
    hole = (
        f"{late} bookings were not decided in time, which a deadlock may have done"
        if late
        else None
    )
    return judged("no_deadlock", opportunities=len(stays), witnesses=witnesses, hole=hole)
