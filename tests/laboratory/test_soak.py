"""The soak: everything people do together, judged period by period; growth is noticed when there is any."""

import os

import pytest
from msgspec.structs import replace
from told import HALL, Log, did

from loadtest.cli.measuring import measured
from loadtest.evidence.trial import Record, Trial
from loadtest.instruments.memory import memory_mb, slope_per_hour
from loadtest.soak import RAMP_TO_PER_S, SOAK, judge

MINUTE_NS = 60 * 10**9


def period(number: int, *, memory: float = 50.0, lag_ms: float = 20.0, cut: bool = False) -> Record:
    """A minute in which one person looked, held, confirmed and saw it."""
    log = Log().opened().booked("k1", held=True, booking="b").then("confirmed", "b", key="k2")
    operations = [
        did("look", 1, version=1, remaining=10, lag_ms=lag_ms),
        did("hold", 3, key="k1", version=2, booking_id="b", booking_version=1),
        did("confirm", 5, key="k2", version=3, booking_id="b", booking_version=2),
        did("look", 9, version=3, remaining=9, lag_ms=lag_ms),
    ]
    samples = [
        ((number + second / 60) * 60.0, {"projector": memory}) for second in range(0, 60, 10)
    ]
    return Record(
        trial=Trial(
            name=f"guarded-{number}",
            arm="guarded",
            knobs={"period": number},
            slot_ids=[HALL],
            began_ns=number * MINUTE_NS,
            ended_ns=(number + 1) * MINUTE_NS,
            facts={"memory_mb": samples},
        ),
        operations=operations[:2] if cut else operations,
        events=log.events,
    )


def rules(records, verdict):
    last = judge(records, SOAK.plan).cells[-1]
    return {j.rule for j in last.judgements if j.verdict == verdict}


def test_a_period_in_which_all_is_well_is_valid_by_every_checker_that_had_something_to_judge():
    [cell] = judge([period(1)], SOAK.plan).cells
    assert (cell.verdict, cell.violations) == ("valid", 0)
    assert {"integrity", "honest_reads", "conservation", "ownership"} <= rules([period(1)], "valid")


def test_a_saturation_that_was_not_found_is_not_claimed():
    found, not_found = period(1), period(1)
    found.trial.facts["visitors_per_s"] = 120.0
    not_found.trial.facts["visitors_per_s"] = RAMP_TO_PER_S / 2
    said = [" ".join(judge([each], SOAK.plan).notes) for each in (found, not_found)]
    assert ["no saturation" in notes for notes in said] == [False, True]
    chosen = replace(SOAK.plan, visitors_per_s=RAMP_TO_PER_S / 2)
    assert "no saturation" not in " ".join(judge([not_found], chosen).notes)


def test_a_read_that_lies_is_found_in_its_period():
    lying = period(2)
    lying = replace(lying, operations=[*lying.operations, did("look", 12, version=3, remaining=4)])
    first, second = judge([period(1), lying], SOAK.plan).cells
    assert (first.violations, second.violations) == (0, 1)


def test_memory_that_grows_is_found_and_memory_that_does_not_is_not():
    flat = [period(n) for n in range(1, 11)]
    assert "nothing_grows" in rules(flat, "valid")
    growing = [period(n, memory=50.0 + 8 * n) for n in range(1, 11)]
    assert "nothing_grows" in rules(growing, "invalid")
    assert "projector grew by" in judge(growing, SOAK.plan).cells[-1].smallest_witness.sentence


def test_where_memory_cannot_be_read_nothing_is_claimed_of_it_and_of_a_deployment_nothing_at_all():
    unread, somebodys = ([period(n) for n in range(1, 11)] for _ in range(2))
    for record in unread:
        record.trial.facts["memory_mb"] = []
    for record in somebodys:
        del record.trial.facts["memory_mb"]
    assert "nothing_grows" in rules(unread, "unknown")
    assert "nothing_grows" in rules(somebodys, "valid")
    assert "memory" in SOAK.left_out


def test_the_teeth_of_a_garbage_collector_are_no_growth():
    sizes = [20, 55, 30, 54, 52, 34, 40, 46, 50, 52]
    sawing = [period(n, memory=float(size)) for n, size in enumerate(sizes, 1)]
    assert "nothing_grows" in rules(sawing, "valid")


def test_a_lag_that_grows_is_found():
    assert "nothing_grows" in rules([period(n, lag_ms=30.0 * n) for n in range(1, 11)], "invalid")


def test_a_short_run_says_that_growth_was_not_judged():
    found = judge([period(1), period(2)], SOAK.plan)
    assert "nothing_grows" not in rules([period(1), period(2)], "valid")
    assert any("growth is judged from" in note for note in found.notes)


def test_a_slope_is_what_it_is():
    assert slope_per_hour([(0, 1.0), (3600, 3.0)]) == pytest.approx(2.0)
    assert slope_per_hour([(0, 1.0)]) == 0.0


def test_a_process_knows_its_size():
    assert sum(memory_mb(os.getpid()).values()) > 10


@pytest.mark.long
@pytest.mark.timeout(240)
async def test_a_short_soak_on_the_real_system_finds_nothing(tmp_path):
    code = await measured([SOAK], seed=3, out=tmp_path, reproduce="", quick=True)
    assert code == 0
