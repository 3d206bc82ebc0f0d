"""What comes next, of what has arrived.

The stream's sequence is the log's position, so order is arithmetic: at or below what was taken is a
repeat, the next number is the next event, anything beyond is a jump, and what it jumps over is to
be read from the log before going on.
"""

from collections import deque
from typing import NamedTuple

from msgspec import Struct


class Arrival(Struct, frozen=True):
    """A message of the stream: where it claims to stand, and its bytes."""

    position: int
    payload: bytes


class Run(NamedTuple):
    """An unbroken run of events.

    When nothing could be taken: up to where the log must fill in. `repeats` were there already.
    """

    arrivals: list[Arrival]
    missing_up_to: int | None
    repeats: int = 0


def take_in_order(arrived: deque[Arrival], *, after: int, limit: int) -> Run:
    """Take from the left of `arrived` what continues `after`; leave what lies beyond a jump."""
    run: list[Arrival] = []
    repeats = 0
    while arrived and len(run) < limit:
        position = arrived[0].position
        if position <= after:
            arrived.popleft()
            repeats += 1
        elif position == after + 1:
            run.append(arrived.popleft())
            after = position
        else:
            return Run(run, None if run else position - 1, repeats)
    return Run(run, None, repeats)
