"""Scenario 14 judged by hand: calls that are shared or not, the unit that comes back and who gets it, and refusals while it lay there."""

import pytest
from told import HALL, Log, did

from loadtest.evidence.trial import Record, Trial
from loadtest.scenarios.thundering_herd import HOLDER, SCENARIO, SINGLY, TOGETHER, judge

FULL = SCENARIO.plan.full_load_per_s


def told(arm, operations, events, *, calls: int | None = 1, rate: int = FULL) -> Record:
    trial = Trial(
        name="r",
        arm=arm.name,
        knobs={"attempts/s": rate},
        slot_ids=[HALL],
        log=None,
        began_ns=0,
        ended_ns=10**9,
        facts={} if calls is None else {"counted": {"+Inf": float(calls)}},
        complete=True,
    )
    return Record(trial=trial, operations=list(operations), events=list(events))


def log(*winners: str):
    """The only unit is held and comes back; then it is sold to these."""
    told_so_far = Log(capacity=1).opened().booked("h", booking="b", held=True)
    told_so_far.then("released", "b", key="r")
    for winner in winners:
        told_so_far.booked(winner)
    return told_so_far.events


def refused(at_ms: float, by: int, *, version: int = 2):
    return did("book", at_ms, by=by, status=409, key=f"k{by}", version=version, remaining=0)


HOLD = did("hold", 0, by=HOLDER, key="h", version=2)
RELEASE = did("release", 50, by=HOLDER, key="r", version=3)
WINNER = did("book", 60, by=9, key="w", version=4)
HERD = [HOLD, *(refused(n, n) for n in range(1, 9)), RELEASE, WINNER, refused(70, 10, version=4)]


def only_cell(*records: Record):
    (cell,) = judge(records, SCENARIO.plan).cells
    return cell


def test_a_herd_that_shares_its_calls_and_has_one_winner_is_as_claimed():
    cell = only_cell(told(TOGETHER, HERD, log("w")))
    assert (cell.verdict, cell.measured("winners"), cell.measured("decided")) == ("valid", 1, 10)


def test_a_call_per_attempt_is_as_many_calls_too_many():
    cell = only_cell(told(SINGLY, HERD, log("w"), calls=10))
    assert (cell.verdict, cell.violations, cell.must_show) == ("invalid", 9, True)
    assert "10 attempts took 10 calls" in cell.smallest_witness.sentence


def test_below_full_load_nobody_has_to_share():
    cell = only_cell(told(TOGETHER, HERD, log("w"), calls=10, rate=FULL // 2))
    assert cell.verdict == "valid"


def test_a_unit_that_two_got_or_nobody_is_found():
    twice = [*HERD, did("book", 80, by=11, key="x", version=5)]
    cell = only_cell(told(TOGETHER, twice, log("w", "x")))
    assert "and 2 of 11 got it" in " ".join(
        w.sentence for j in cell.judgements for w in j.witnesses
    )
    nobody = [HOLD, RELEASE, refused(70, 10)]
    cell = only_cell(told(TOGETHER, nobody, log()))
    assert "and 0 of 1 got it" in " ".join(w.sentence for j in cell.judgements for w in j.witnesses)


def test_who_is_told_sold_out_while_the_unit_lies_there_is_found():
    late = [*HERD[:-2], refused(55, 20), did("book", 60, by=9, key="w", version=4)]
    cell = only_cell(told(TOGETHER, late, log("w")))
    assert cell.verdict == "invalid"
    assert "which was over before it asked" in cell.smallest_witness.sentence


@pytest.mark.parametrize("operations", [[HOLD, RELEASE], [HOLD, refused(3, 3)]])
def test_where_nobody_asked_or_nothing_came_back_nothing_is_proved(operations):
    assert only_cell(told(TOGETHER, operations, log())).verdict == "unknown"


def test_of_a_deployment_nobody_counts_the_calls():
    assert only_cell(told(TOGETHER, HERD, log("w"), calls=None)).verdict == "valid"
