"""Is whoever shares a batch with a command that makes it fail answered as if that command were not there? Pure.

One journey sends such a command, poisoned, again and again. Where it is decided like any other, nothing was tried, and nothing is known.
"""

from collections.abc import Sequence

from loadtest.history import Operation
from loadtest.verdict import Judgement, Witness, judged

SERVER_ERROR = 500


def neighbours_served(operations: Sequence[Operation], *, poisoner: int) -> Judgement:
    """No booking but the poisoner's met an error of the server. Opportunities are those who came with it and were decided: who found no room in the queue did not share its batch."""
    neighbours = [o for o in operations if o.op == "book" and o.journey != poisoner and o.decided]
    poisoned = next((o.key for o in operations if o.journey == poisoner), None)
    witnesses = [
        Witness(
            story="journey {journey} asked for {units} units beside the poisoned command {poisoned}, and was answered {status}",
            facts={
                "journey": o.journey,
                "units": o.units,
                "poisoned": poisoned,
                "status": o.status,
            },
            size=o.journey,
        )
        for o in neighbours
        if o.status >= SERVER_ERROR
    ]
    healthy = [
        o for o in operations if o.journey == poisoner and o.decided and o.status < SERVER_ERROR
    ]
    hole = "the poisoned command was decided like any other" if healthy or not poisoned else None
    return judged(
        "neighbours_served", opportunities=len(neighbours), witnesses=witnesses, hole=hole
    )
