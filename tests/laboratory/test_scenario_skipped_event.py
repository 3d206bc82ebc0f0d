"""Scenario 11 judged by hand: logs that were delivered whole, and logs of which something was passed by."""

import msgspec
import pytest
from told import HALL, Log, did

from loadtest.checkers.every_event_delivered import every_event_delivered
from loadtest.evidence.trial import Record, Trial
from loadtest.scenarios.skipped_event import FIRST, LAST, SCENARIO, judge


def three_bookings() -> Log:
    return Log().opened().booked("k2").booked("k3").booked("k4")


def told(arm, applied, events, *operations) -> Record:
    trial = Trial(
        name="r",
        arm=arm.name,
        knobs={"bookings/s": 20},
        log=None,
        began_ns=0,
        ended_ns=10**9,
        facts={"applied": applied},
        complete=True,
    )
    return Record(trial=trial, operations=list(operations), events=events)


def test_a_log_that_was_delivered_whole_is_valid():
    judgement = every_event_delivered(three_bookings().events, {HALL: [1, 2, 3, 4]})
    assert (judgement.verdict, judgement.opportunities) == ("valid", 4)


@pytest.mark.parametrize("skipped", [2, 3, 4])
def test_one_event_that_was_passed_by_is_found_exactly(skipped):
    applied = [position for position in (1, 2, 3, 4) if position != skipped]
    judgement = every_event_delivered(three_bookings().events, {HALL: applied})
    assert (judgement.verdict, judgement.violations) == ("invalid", 1)
    assert judgement.witnesses[0].facts["position"] == skipped


def test_what_was_applied_and_is_not_in_the_log_leaves_it_open():
    judgement = every_event_delivered(three_bookings().events, {HALL: [1, 2, 3, 4, 5]})
    assert (judgement.verdict, judgement.reason) == (
        "unknown",
        f"position 5 of slot {HALL} is not in the log",
    )


def test_slots_that_were_not_asked_are_not_judged():
    events = Log().opened(HALL, "foyer").events
    assert every_event_delivered(events, {HALL: [1]}).opportunities == 1
    assert every_event_delivered(events, {}).verdict == "unknown"


def test_the_page_counts_bookings_that_nobody_finds():
    operations = [
        did("book", 0, 260),
        did("book", 5),
        did("read_booking", 500, status=404, slot=None, booking_id="b k2"),
        did("read_booking", 501, slot=None, booking_id="b k3"),
    ]
    record = told(FIRST, {HALL: [1, 3, 4]}, three_bookings().events, *operations)
    (cell,) = judge([record], SCENARIO.plan).cells
    names = ("bookings", "slow", "never delivered", "never found")
    assert [cell.measured(name) for name in names] == [2, 1, 1, 1]
    assert (cell.verdict, cell.violations) == ("invalid", 1)


def test_with_the_guard_numbers_have_to_be_dense_too():
    applied = {HALL: [1, 2, 3, 4]}
    (cell,) = judge([told(LAST, applied, three_bookings().events)], SCENARIO.plan).cells
    assert (cell.verdict, cell.opportunities) == ("valid", 4)
    *events, last = three_bookings().events
    later = [*events, msgspec.structs.replace(last, position=5)]
    (cell,) = judge([told(LAST, {HALL: [1, 2, 3, 5]}, later)], SCENARIO.plan).cells
    assert (cell.verdict, cell.violations) == ("invalid", 1)
