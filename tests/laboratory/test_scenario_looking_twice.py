"""Scenario 7 judged by hand: who saw time run backwards, what a killed node proves, and what the lags let expect."""

from random import Random

import pytest
from told import did

from loadtest.evidence.trial import Record, Trial
from loadtest.scenarios.looking_twice import (
    OBSERVERS_FROM,
    SCENARIO,
    WITH,
    WITHOUT,
    WRITERS_FROM,
    judge,
)
from loadtest.theory.looking_twice import agreeing_share, backwards_share

FRESH, LATE = "the node 5 ms behind", "the node 500 ms behind"


def told(arm, *operations, gap_ms: int = 0) -> Record:
    trial = Trial(
        name="r",
        arm=arm.name,
        knobs={"gap ms": gap_ms},
        slot_ids=["hall"],
        log=None,
        began_ns=0,
        ended_ns=10**9,
        complete=True,
    )
    return Record(trial=trial, operations=list(operations), events=[])


def looks(by: int, *versions: int | None, token: str | None = None):
    """One look after the other at the two nodes in turn; None is a node that did not answer."""
    return [
        did(
            *("look", 10 * turn),
            by=by,
            version=version,
            status=0 if version is None else 200,
            node=(FRESH, LATE)[turn % 2],
            token_in=token if turn else None,
        )
        for turn, version in enumerate(versions)
    ]


BOOKED = [did("book", 100 * n, by=WRITERS_FROM + n, version=n + 2) for n in range(5)]


def test_who_is_shown_less_than_before_saw_time_run_backwards():
    record = told(WITHOUT, *looks(1, 7, 6, 8), *looks(2, 7, 7, 8), *BOOKED)
    (cell,) = judge([record], SCENARIO.plan).cells
    assert (cell.violations, cell.measured("backwards %")) == (1, 50)
    assert cell.smallest_witness.sentence == (
        f"journey 1 was shown version 7 of slot hall by {FRESH} and 9.0 ms later version 6 by {LATE}"
    )
    assert cell.theory.expected > 0


def test_a_node_that_does_not_answer_turns_no_time_back():
    record = told(WITH, *looks(1, 7, None, 7, 9, token="t"))  # noqa: S106 no secret
    (cell,) = judge([record], SCENARIO.plan).cells
    assert (cell.verdict, cell.opportunities, cell.measured("no answer")) == ("valid", 2, 1)


def test_who_looks_everywhere_at_once_compares_nodes_and_convicts_nobody():
    everywhere = [*looks(OBSERVERS_FROM, 7, 6), *looks(OBSERVERS_FROM + 1, 7, 7)]
    (cell,) = judge([told(WITH, *looks(1, 7, 7), *everywhere)], SCENARIO.plan).cells
    assert (cell.verdict, cell.opportunities, cell.measured("agree %")) == ("valid", 1, 50)


def test_nobody_who_looked_twice_proves_nothing():
    (cell,) = judge([told(WITH, *looks(1, 7))], SCENARIO.plan).cells
    assert cell.verdict == "unknown"


def test_in_one_journey_of_ten_it_may_have_been_chance_and_the_control_has_shown_nothing():
    steady = [look for by in range(2, 11) for look in looks(by, 7, 7)]
    cell = judge([told(WITHOUT, *looks(1, 7, 6), *steady)], SCENARIO.plan).cells[0]
    assert (cell.measured("backwards %"), cell.verdict, cell.must_show) == (10, "unknown", True)


def test_writes_between_the_moments_shown_decide_and_none_is_counted_twice():
    assert backwards_share([0, 10, 20], 100) == 0
    once = backwards_share([100, 50], 10)
    assert backwards_share([100, 50, 70, 50], 10) == once > 0
    assert backwards_share([100, 50, 200, 190], 10) == pytest.approx(1 - (1 - once) ** 1.2)


def test_theory_says_what_a_simulation_finds():
    rng = Random(7)  # noqa: S311 no secret
    writes_per_s, shown = 3.0, [495.0, 0.0, 450.0, 700.0, 600.0]
    went_back = agreed = 0
    for _ in range(20_000):
        moment_ms, writes = -500.0, []
        while (moment_ms := moment_ms + rng.expovariate(writes_per_s / 1000)) < 1000:
            writes.append(moment_ms)
        versions = [sum(write <= moment for write in writes) for moment in shown]
        went_back += versions != sorted(versions)
        agreed += len({sum(write <= -lag_ms for write in writes) for lag_ms in (5, 50, 500)}) == 1
    assert went_back / 20_000 == pytest.approx(backwards_share(shown, writes_per_s), abs=0.015)
    assert agreed / 20_000 == pytest.approx(agreeing_share([5, 50, 500], writes_per_s), abs=0.015)
