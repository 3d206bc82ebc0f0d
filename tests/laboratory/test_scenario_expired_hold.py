"""Scenario 8 judged by hand: units with one owner, units with two, and what cannot be known."""

import pytest
from told import Log, did

from loadtest.evidence.trial import Record, Trial
from loadtest.scenarios.expired_hold import (
    BY_THE_CLOCK,
    BY_TRANSITION,
    RIVALS,
    Holds,
    judge,
    late_is_not_too_late,
    one_owner,
)

PLAN = Holds(holds_per_s=1, seconds=1, late_ms=(100,))
EXPIRY = 2000


def told(arm, operations, log) -> Record:
    trial = Trial(name="r", arm=arm.name, knobs={"late ms": "dealt"})
    return Record(trial=trial, operations=operations, events=log.events)


def only_cell(record):
    (cell,) = judge([record], PLAN).cells
    return cell


def held(**how):
    return did("hold", 0, by=0, key="h", booking_id="hold", **how)


def confirmed(at_ms=EXPIRY + 100, **how):
    return did("confirm", at_ms, by=0, key="c", booking_id="hold", slot=None, **how)


def rival(at_ms=EXPIRY + 50, **how):
    return did("book", at_ms, by=RIVALS, key="r", **how)


def a_hold() -> Log:
    return Log(capacity=1).opened().booked("h", booking="hold", held=True)


def test_who_pays_late_owns_the_unit_if_nobody_was_faster():
    log = a_hold().then("confirmed", "hold", "c")
    operations = [held(), confirmed(), rival(EXPIRY + 150, status=409)]
    cell = only_cell(told(BY_TRANSITION, operations, log))
    assert (cell.verdict, cell.measured("confirmed %")) == ("valid", 100)


def test_who_pays_later_than_somebody_else_is_refused_and_owns_nothing():
    log = a_hold().then("expired", "hold").booked("r", booking="rival")
    operations = [held(), rival(), confirmed(status=409)]
    cell = only_cell(told(BY_TRANSITION, operations, log))
    assert (cell.verdict, cell.measured("rivals served")) == ("valid", 1)


def test_a_unit_that_two_have_paid_for_has_two_owners():
    log = a_hold().booked("r", booking="rival").then("confirmed", "hold", "c")
    operations = [held(), rival(), confirmed()]
    cell = only_cell(told(BY_THE_CLOCK, operations, log))
    assert (cell.verdict, cell.violations, cell.measured("paid, resold")) == ("invalid", 1, 1)
    assert "by booking hold (journey 0), too" in cell.smallest_witness.sentence


def test_a_hold_that_nobody_pays_for_may_be_sold_to_somebody_else():
    log = a_hold().booked("r", booking="rival")
    assert one_owner([held(), rival(), confirmed(status=409)], log.events).verdict == "valid"


def test_a_unit_given_back_may_be_sold_again():
    log = a_hold().then("confirmed", "hold", "c").then("cancelled", "hold")
    log.booked("r", booking="rival")
    assert one_owner([held(), confirmed(), rival()], log.events).verdict == "valid"


def test_who_is_refused_while_nobody_has_ended_the_hold_was_refused_by_a_clock():
    operations = [held(), confirmed(status=409)]
    judgement = late_is_not_too_late(operations, a_hold().events)
    assert (judgement.verdict, judgement.violations) == ("invalid", 1)
    ended = a_hold().then("expired", "hold")
    assert late_is_not_too_late(operations, ended.events).verdict == "valid"


@pytest.mark.parametrize("status", [0, 503])
def test_a_confirmation_that_nobody_decided_was_refused_by_nobody(status):
    operations = [held(), confirmed(status=status)]
    assert late_is_not_too_late(operations, a_hold().events).verdict == "unknown"


@pytest.mark.parametrize(("operations", "log"), [([held(), rival()], Log()), ([held()], a_hold())])
def test_without_a_log_or_without_rivals_nothing_is_proved(operations, log):
    assert one_owner(operations, log.events).verdict == "unknown"


def test_one_unit_resold_among_many_is_found_exactly():
    log, operations = Log(capacity=1), []
    slots = [f"slot {n}" for n in range(40)]
    log.opened(*slots)
    for n, slot in enumerate(slots):
        log.booked(f"h{n}", (slot, 1), booking=f"b{n}", held=True)
        operations.append(did("book", n, by=RIVALS + n, key=f"r{n}", slot=slot))
        if n == 23:
            log.booked(f"r{n}", (slot, 1), booking=f"x{n}")
        log.then("confirmed", f"b{n}", f"c{n}")
    judgement = one_owner(operations, log.events)
    assert (judgement.opportunities, judgement.violations) == (40, 1)
    assert judgement.witnesses[0].facts["slot_id"] == "slot 23"
