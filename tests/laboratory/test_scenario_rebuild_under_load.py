"""Scenario 13 judged by hand: readings across a rebuild that lost nothing, and readings that went back or lacked units."""

import msgspec
import pytest
from told import did

from loadtest.checkers.units_are_conserved import Shown, units_are_conserved
from loadtest.evidence.trial import Record, Trial
from loadtest.scenarios.rebuild_under_load import CAPACITY, IN_PLACE, SCENARIO, SHADOW, judge

BEFORE = {"hall": 3, "foyer": 2}


def look(at_ms: float, *, taken: int, version: int, by: int = 1, **members):
    numbers = {"held": 0, "confirmed": taken, "remaining": CAPACITY - taken, "version": version}
    return did("look", at_ms, by=by, **numbers | members)


def overview(taken: int, *, by: int = 1, **numbers) -> Shown:
    whole = len(BEFORE) * CAPACITY
    fits = {"capacity": whole, "remaining": whole - taken, "taken": taken, "listed": taken}
    return Shown(journey=by, at_ns=10, **fits | numbers)


def told(arm, looks, shown=()) -> Record:
    trial = Trial(
        name="r",
        arm=arm.name,
        knobs={"bookings before": 2000},
        slot_ids=list(BEFORE),
        log=None,
        began_ns=0,
        ended_ns=10**9,
        facts={
            "before": BEFORE,
            "shown": msgspec.to_builtins(list(shown)),
            "rebuilds": [{"seconds": 0.5}],
            "finals": [],
        },
        complete=True,
    )
    return Record(trial=trial, operations=list(looks), events=[])


def judged_alone(looks, shown=()):
    return units_are_conserved(looks, shown, capacity=CAPACITY, before=BEFORE)


def test_readings_that_have_what_was_sold_before_and_more_are_valid():
    judgement = judged_alone(
        [look(0, taken=3, version=4), look(5, taken=4, version=5)], [overview(5), overview(6)]
    )
    assert (judgement.verdict, judgement.opportunities) == ("valid", 4)


@pytest.mark.parametrize(
    ("looks", "shown"),
    [
        ([look(0, taken=2, version=3)], []),
        ([did("look", 0, status=404)], []),
        ([look(0, taken=3, version=4, remaining=CAPACITY)], []),
        ([], [overview(4)]),
        ([], [overview(5, listed=4)]),
        ([], [overview(5, capacity=CAPACITY, remaining=CAPACITY - 5)]),
        ([], [Shown(journey=1, at_ns=0)]),
    ],
)
def test_one_reading_in_which_units_are_missing_is_found_exactly(looks, shown):
    sound = [look(50, taken=3, version=4)]
    judgement = judged_alone([*sound, *looks], [overview(5), *shown])
    assert (judgement.verdict, judgement.violations) == ("invalid", 1)
    assert judgement.witnesses[0].sentence.startswith("journey 1 was shown")


def test_readings_that_were_all_refused_prove_nothing():
    assert judged_alone([did("look", 0, status=503)]).verdict == "unknown"


def test_a_reading_that_goes_back_across_the_rebuild_convicts():
    looks = [look(0, taken=5, version=6), look(5, taken=3, version=4)]
    (cell,) = judge([told(IN_PLACE, looks)], SCENARIO.plan).cells
    assert (cell.verdict, cell.measured("went back"), cell.violations) == ("invalid", 1, 1)


def test_the_worst_reading_says_how_many_units_were_missing():
    looks = [look(0, taken=3, version=4), did("look", 5, status=404)]
    (cell,) = judge([told(IN_PLACE, looks, [overview(1)])], SCENARIO.plan).cells
    assert cell.measured("units missing") == 4


def test_a_rebuild_nobody_watched_is_undecided():
    (cell,) = judge([told(SHADOW, [])], SCENARIO.plan).cells
    assert (cell.verdict, cell.measured("units missing")) == ("unknown", 0)
