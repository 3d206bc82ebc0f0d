"""Scenario 16 judged by hand: stays that are whole, stays of which a part was kept, and what cannot be known."""

from msgspec.structs import replace
from told import Log, did, line

from loadtest.checkers.whole_stays import whole_stays
from loadtest.evidence.trial import Record, Trial
from loadtest.scenarios.stays import LINE_BY_LINE, SCENARIO, WHOLE, judge

FRIDAY, SATURDAY = ("friday", 1), ("saturday", 1)


def told(arm, operations, log) -> Record:
    trial = Trial(name="r", arm=arm.name, knobs={"nights": 2}, slot_ids=["friday", "saturday"])
    return Record(trial=trial, operations=operations, events=log.events)


def asked(at_ms, *nights, op="book", **how):
    lines = [line(slot, units) for slot, units in nights]
    return did(op, at_ms, slot=None, lines=lines, **({"key": how["booking_id"]} | how))


def refused(at_ms, *nights, short, **how):
    lines = [line(slot, units, **(short if slot == "saturday" else {})) for slot, units in nights]
    how = {"key": how["booking_id"], "problem": "capacity-exceeded", "status": 409} | how
    return did("book", at_ms, slot=None, lines=lines, **how)


FULL = {"remaining": 0, "version": 2}


def test_stays_of_all_their_nights_or_none_hold():
    log = Log(capacity=1).opened("friday", "saturday").booked("b1", SATURDAY, booking="b1")
    operations = [
        asked(1, SATURDAY, booking_id="b1", by=1),
        refused(5, FRIDAY, SATURDAY, short=FULL, booking_id="b2", by=2),
    ]
    (cell,) = judge([told(WHOLE, operations, log)], SCENARIO.plan).cells
    assert (cell.verdict, cell.measured("refused"), cell.measured("partial")) == ("valid", 1, 0)


def test_a_refused_guest_who_has_one_of_the_nights_has_a_partial_stay():
    log = Log(capacity=1).opened("friday", "saturday").booked("b1", SATURDAY, booking="b1")
    log.booked("b2", FRIDAY, booking="b2")
    operations = [
        asked(1, SATURDAY, booking_id="b1", by=1),
        refused(5, FRIDAY, SATURDAY, short=FULL, booking_id="b2", by=2),
    ]
    (cell,) = judge([told(LINE_BY_LINE, operations, log)], SCENARIO.plan).cells
    assert (cell.verdict, cell.measured("partial")) == ("invalid", 1)
    assert "journey 2 asked for 2 slots (book) and was answered 409" in (
        cell.smallest_witness.sentence
    )


def test_lines_of_one_night_add_up():
    log = Log().opened("friday", "saturday").booked("b1", ("friday", 3), SATURDAY, booking="b1")
    operations = [asked(1, ("friday", 1), SATURDAY, ("friday", 2), booking_id="b1")]
    assert whole_stays(operations, log.events).verdict == "valid"


def test_a_stay_that_could_not_be_moved_must_have_what_it_had():
    log = Log().opened("friday", "saturday").booked("b1", FRIDAY, booking="b1")
    operations = [
        asked(1, FRIDAY, booking_id="b1"),
        asked(5, SATURDAY, op="reschedule", booking_id="b1", status=409),
    ]
    assert whole_stays(operations, log.events).verdict == "valid"
    moved = [operations[0], replace(operations[1], status=200, outcome="ok")]
    assert whole_stays(moved, log.events).violations == 1


def test_a_stay_that_ended_is_no_partial_one():
    log = Log().opened("friday", "saturday").booked("b1", FRIDAY, booking="b1")
    log.then("cancelled", "b1")
    operations = [asked(1, FRIDAY, SATURDAY, booking_id="b1")]
    assert whole_stays(operations, log.events).verdict == "valid"


def test_a_request_nobody_heard_of_again_may_have_happened():
    log = Log().opened("friday", "saturday").booked("b1", FRIDAY, booking="b1")
    unanswered = [
        asked(1, FRIDAY, booking_id="b1"),
        asked(5, SATURDAY, op="reschedule", booking_id="b1", status=0),
    ]
    assert whole_stays(unanswered, log.events).verdict == "valid"
    assert whole_stays([replace(unanswered[1], op="book")], log.events).verdict == "invalid"


def test_a_stay_of_nobody_in_this_history_leaves_the_question_open():
    log = Log().opened("friday").booked("b1", FRIDAY, booking="b1")
    log.booked("b2", FRIDAY, booking="b2")
    operations = [asked(1, FRIDAY, booking_id="b1")]
    (cell,) = judge([told(WHOLE, operations, log)], SCENARIO.plan).cells
    assert cell.verdict == "unknown"


def test_without_the_log_nothing_is_proved():
    operations = [asked(1, FRIDAY, booking_id="b1")]
    assert whole_stays(operations, []).verdict == "unknown"


def test_one_night_taken_from_one_of_many_stays_is_found_exactly():
    log, operations = Log(capacity=1000).opened("friday", "saturday"), []
    for n in range(50):
        has = [FRIDAY] if n == 31 else [FRIDAY, SATURDAY]
        log.booked(f"b{n}", *has, booking=f"b{n}")
        operations.append(asked(n, FRIDAY, SATURDAY, booking_id=f"b{n}", by=n))
    judgement = whole_stays(operations, log.events)
    assert (judgement.opportunities, judgement.violations) == (50, 1)
    assert judgement.witnesses[0].facts["booking_id"] == "b31"
