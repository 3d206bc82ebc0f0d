"""The table of arithmetic, without servers: one line per way in which a copy can be wrong."""

from uuid import UUID

import pytest

from booking.relay.compare import Finding, StreamState, compare
from booking.relay.read_log import LogState

EARLIER_EPOCH, EPOCH, LATER_EPOCH = (UUID(int=number) for number in (1, 2, 3))
EVENT, OTHER_EVENT = (UUID(int=number) for number in (4, 5))


def stream(**differences) -> StreamState:
    """A sound copy of positions 11 to 20, but for the differences."""
    sound = {"epoch": EPOCH, "messages": 10, "first_position": 11, "last_position": 20}
    return StreamState(**{**sound, "tail_event_id": EVENT, **differences})


EMPTY = {"messages": 0, "first_position": 21, "tail_event_id": None}


@pytest.mark.parametrize(
    ("seen", "head", "event_there", "finding"),
    [
        (stream(), 20, EVENT, Finding.AGREES),
        (stream(), 25, EVENT, Finding.AGREES),
        (stream(**EMPTY), 20, EVENT, Finding.AGREES),
        (stream(**EMPTY), 25, EVENT, Finding.AGREES),
        (None, 20, None, Finding.MISSING),
        (stream(epoch=EARLIER_EPOCH), 20, EVENT, Finding.OF_ANOTHER_EPOCH),
        (stream(epoch=LATER_EPOCH), 20, EVENT, Finding.OF_A_LATER_EPOCH),
        (stream(epoch=None), 20, EVENT, Finding.OF_ANOTHER_EPOCH),
        (stream(messages=9), 20, EVENT, Finding.HOLES),
        (stream(tail_event_id=None), 20, EVENT, Finding.FOREIGN_TAIL),
        (stream(tail_event_id=None), 19, None, Finding.FOREIGN_TAIL),
        (stream(**EMPTY), 19, None, Finding.BEYOND_THE_LOG),
        (stream(tail_event_id=OTHER_EVENT), 20, EVENT, Finding.ANOTHER_HISTORY),
        (stream(), 19, None, Finding.ANOTHER_HISTORY),
    ],
)
def test_a_copy_is_judged_by_its_ends_its_count_and_its_last_message(
    seen, head, event_there, finding
):
    assert compare(seen, LogState(epoch=EPOCH, head=head, event_id_at_tail=event_there)) is finding


def test_holes_are_found_before_the_tail_is_believed():
    seen = stream(messages=9, tail_event_id=OTHER_EVENT)

    assert compare(seen, LogState(epoch=EPOCH, head=20, event_id_at_tail=EVENT)) is Finding.HOLES
