"""What checkers of journeys have in common: who did what after what, and which versions a request wrote or showed. Pure.

Things are named `slot <id>` and `booking <id>`; version 0 means that a read found nothing. A read that names no version of anything (a list, an
overview) still has a position.
"""

from collections import defaultdict
from collections.abc import Sequence

from loadtest.history import Operation

COMMANDS = (
    "book", "hold", "confirm", "release", "cancel", "extend", "reschedule", "transfer", "resize"
)  # fmt: skip
THE_LOG = "the log's position"


def by_journey(operations: Sequence[Operation]) -> list[list[Operation]]:
    """Each journey's operations in the order they began; journeys of different trials are different."""
    journeys: dict[tuple[str, str, int], list[Operation]] = defaultdict(list)
    for operation in operations:
        journeys[operation.arm, operation.run, operation.journey].append(operation)
    return [sorted(of_one, key=lambda o: o.invoke_ns) for of_one in journeys.values()]


def is_read(operation: Operation) -> bool:
    """Whether it can only have looked."""
    return operation.op not in COMMANDS


def versions_written(operation: Operation) -> dict[str, int]:
    """What an accepted command has made, by the answer."""
    if operation.outcome != "ok":
        return {}
    written = {}
    if operation.slot_id is not None and operation.version is not None:
        written[f"slot {operation.slot_id}"] = operation.version
    for line in operation.lines:
        if line.version is not None:
            written[f"slot {line.slot_id}"] = line.version
    if operation.booking_id is not None and operation.booking_version is not None:
        written[f"booking {operation.booking_id}"] = operation.booking_version
    if operation.position is not None:
        written[THE_LOG] = operation.position
    return written


def versions_shown(operation: Operation) -> dict[str, int]:
    """What a read was shown; a 404 shows that there is nothing."""
    if operation.status == 404:
        if operation.booking_id is not None:
            return {f"booking {operation.booking_id}": 0}
        return {f"slot {operation.slot_id}": 0} if operation.slot_id is not None else {}
    if operation.status != 200:
        return {}
    if operation.slot_id is not None and operation.version is not None:
        return {f"slot {operation.slot_id}": operation.version}
    if operation.booking_id is not None and operation.booking_version is not None:
        return {f"booking {operation.booking_id}": operation.booking_version}
    return {THE_LOG: operation.position} if operation.position is not None else {}
