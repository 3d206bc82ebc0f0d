"""Scenario 3 judged by hand: who was sent away while a unit was free, for how long it had been, and what commits leave open."""

import msgspec
from told import HALL, Log, did

from loadtest.evidence.sent_away import Leaving
from loadtest.evidence.trial import Record, Trial
from loadtest.scenarios.false_sold_out import ASKS, BELIEVES, SCENARIO, judge
from loadtest.workloads.sold_out_hall import BY_THE_PAGE, MAX_AGE, STRONG

RELEASED = 3
"""The version at which the only unit is free again: at 1000 ms. Somebody takes it at 4000 ms."""
STORY = [
    did("hold", 0, by=-1, key="first", booking_id="b first"),
    did("release", 1000, 1010, by=-1, key="given back", booking_id="b first"),
    did("hold", 4000, 4010, by=9, key="second"),
]
LOG = Log(capacity=1).opened().booked("first", held=True)
LOG = LOG.then("released", "b first", "given back").booked("second", held=True).events


def leaves(by: int, at_ms: float, *, version: int = RELEASED - 1, shown_ms: float = 0) -> Leaving:
    return Leaving(
        journey=by, at_ns=int(at_ms * 1e6), version=version, shown_ns=int(shown_ms * 1e6)
    )


def told(way: str, *leavings: Leaving, operations=STORY, events=LOG, not_told: int = 0) -> Record:
    trial = Trial(
        name="r",
        arm=BELIEVES.name if way == BY_THE_PAGE else ASKS.name,
        knobs={"S ms": 1300, "way": way},
        slot_ids=[HALL],
        log=None,
        began_ns=0,
        ended_ns=int(5e9),
        facts={"leavings": msgspec.to_builtins(list(leavings)), "not_told": not_told},
        complete=True,
    )
    return Record(trial=trial, operations=list(operations), events=list(events))


def test_who_is_sent_away_later_than_a_second_after_a_unit_came_free_is_found_exactly():
    record = told(BY_THE_PAGE, leaves(1, 500), leaves(2, 1900), leaves(3, 2500), leaves(4, 4500))
    (cell,) = judge([record], SCENARIO.plan).cells
    assert (cell.violations, cell.opportunities) == (1, 4)
    assert cell.smallest_witness.sentence == (
        'journey 3 was told "sold out" on version 2, while a unit was free since 1490 ms (version 3)'
    )
    # The first came before the release and the last after the next sale: they were told the truth.
    assert (cell.measured("turned away"), cell.measured("unsold unit-s")) == (2, 3)


def test_sold_out_said_of_a_version_that_left_a_unit_is_a_lie_of_that_version():
    (cell,) = judge([told(BY_THE_PAGE, leaves(3, 2500, version=RELEASED))], SCENARIO.plan).cells
    assert "on version 3" in cell.smallest_witness.sentence


def test_within_the_promise_nobody_is_wronged():
    record = told(MAX_AGE, leaves(1, 500), leaves(2, 1900), not_told=3)
    (cell,) = judge([record], SCENARIO.plan).cells
    assert (cell.verdict, cell.measured("turned away"), cell.measured("not told")) == (
        "valid",
        1,
        3,
    )


def test_a_strong_reader_is_promised_the_truth_of_the_moment_of_asking():
    record = told(STRONG, leaves(1, 1900))
    assert judge([record], SCENARIO.plan).cells[0].verdict == "invalid"


def test_while_the_next_sale_may_have_been_committed_nobody_is_convicted():
    record = told(STRONG, leaves(1, 1005), leaves(2, 4005))
    assert judge([record], SCENARIO.plan).cells[0].verdict == "valid"


def test_where_nothing_was_released_nothing_is_proved():
    record = told(STRONG, leaves(1, 500), operations=STORY[:1], events=LOG[:2])
    assert judge([record], SCENARIO.plan).cells[0].verdict == "unknown"


def test_theory_counts_the_age_of_the_page_and_the_lag_of_the_view():
    (cell,) = judge([told(BY_THE_PAGE, leaves(1, 1500, shown_ms=500))], SCENARIO.plan).cells
    assert cell.theory.expected == SCENARIO.plan.people_per_s * 1.3
