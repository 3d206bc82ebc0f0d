"""Scenario 5 judged by hand: one wish booked twice, answers that differ, another body under a used key, and what nobody can tell."""

import pytest
from told import HALL, Log, did

from loadtest.evidence.trial import Record, Trial
from loadtest.scenarios.double_booking_by_retry import (
    EVERY_TRY,
    EVERY_WISH,
    LOST,
    SCENARIO,
    judge,
)


def told(arm, operations, events=()) -> Record:
    trial = Trial(
        name="r",
        arm=arm.name,
        knobs={"fault": LOST},
        slot_ids=[HALL],
        log=None,
        began_ns=0,
        ended_ns=10**9,
        complete=True,
    )
    return Record(trial=trial, operations=list(operations), events=list(events))


def unheard(at_ms: float, key: str, **members):
    return did("book", at_ms, key=key, intent="wish 1", status=0, **members)


def heard(at_ms: float, key: str, *, digest: str = "d", **members):
    return did("book", at_ms, key=key, intent="wish 1", digest=digest, **members)


OTHER_BODY = did("book", 90, key="a", units=2, status=422)


def test_a_wish_tried_under_two_keys_is_booked_twice():
    events = Log().opened().booked("a").booked("b").events
    (cell,) = judge(
        [told(EVERY_TRY, [unheard(0, "a"), heard(20, "b")], events)], SCENARIO.plan
    ).cells
    assert (cell.violations, cell.measured("booked too often")) == (1, 1)
    assert cell.measured("done unheard") == 1
    assert "tried 2 times and has 2" in cell.smallest_witness.sentence


def test_a_wish_tried_under_one_key_is_booked_once():
    events = Log().opened().booked("a").events
    tries = [unheard(0, "a"), heard(20, "a"), heard(40, "a"), OTHER_BODY]
    (cell,) = judge([told(EVERY_WISH, tries, events)], SCENARIO.plan).cells
    assert (cell.verdict, cell.measured("done unheard")) == ("valid", 1)
    assert cell.measured("booked too often") == 0


def test_a_second_answer_that_is_not_the_first_violates_the_claim():
    events = Log().opened().booked("a").events
    tries = [heard(0, "a"), heard(20, "a", digest="e"), OTHER_BODY]
    (cell,) = judge([told(EVERY_WISH, tries, events)], SCENARIO.plan).cells
    assert cell.verdict == "invalid"
    assert "was answered something else" in cell.smallest_witness.sentence


@pytest.mark.parametrize("status", [201, 409])
def test_another_body_under_a_used_key_has_to_be_refused_as_such(status):
    events = Log().opened().booked("a").events
    other = did("book", 90, key="a", units=2, status=status)
    tries = [unheard(0, "a"), heard(20, "a"), other]
    (cell,) = judge([told(EVERY_WISH, tries, events)], SCENARIO.plan).cells
    assert cell.verdict == "invalid"
    assert f"answered {status}, not 422" in cell.smallest_witness.sentence


def test_where_every_answer_arrived_nothing_is_proved():
    events = Log().opened().booked("a").events
    (cell,) = judge([told(EVERY_WISH, [heard(0, "a"), OTHER_BODY], events)], SCENARIO.plan).cells
    assert cell.verdict == "unknown"
