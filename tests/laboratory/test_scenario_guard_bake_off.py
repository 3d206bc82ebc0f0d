"""The bake-off judged by hand: who sold what is not there, who sent somebody away wrongly, and evidence with a hole."""

import asyncio
import sys
from collections import Counter
from random import Random

import pytest

from loadtest.driver import Answer
from loadtest.evidence.trial import Record, Trial
from loadtest.experiment.findings import ScenarioFindings
from loadtest.scenarios.guard_bake_off import ARMS, SCENARIO, judge
from loadtest.system.ten_guards import OVERSELLING, PRODUCTS
from loadtest.verdict import HOLDS, INVALID_EXPERIMENT, VIOLATED
from loadtest.workloads.crowded_slots import Answers, Group, wanted_of

BUYERS = [(0, 2), (0, 1), (1, 3), (0, 1), (1, 1), (1, 1)]
"""Of two slots of three units: everybody's slot and units."""
HONEST = [201, 201, 201, 409, 409, 409]


def told(guard: str, statuses, sold, *, slots: int = 1, **facts) -> Record:
    noted = {
        "slot_ids": ["hall", "attic"],
        "capacity": 3,
        "wanted": BUYERS,
        "statuses": statuses,
        "sold": sold,
        "seconds": 2.0,
        "answered": len(statuses),
        "p50_ms": 1.0,
        "p99_ms": 9.0,
        "aborts": 0.0,
        "database_cpu_ms": 6.0,
    }
    trial = Trial(name="r", arm=guard, knobs={"slots": slots}, facts=noted | facts)
    return Record(trial=trial, operations=[], events=[])


def verdict(cells) -> int:
    facts = {"name": "n", "number": 19, "claim": "", "fault": "", "anomaly": "", "knob": "slots"}
    return ScenarioFindings(**facts, kind=SCENARIO.kind, cells=cells).exit_code


def of_all(**of_one) -> list:
    """A cell of every guard: those that must oversell do, and `of_one` says what another did."""
    records = []
    for arm in ARMS:
        ill = ([201] * 6, [4, 5])
        statuses, sold = of_one.get(arm.name, ill if arm.guard == "off" else (HONEST, [3, 3]))
        records.append(told(arm.name, statuses, sold))
    return judge(records, SCENARIO.plan).cells


def test_who_sells_what_there_is_and_refuses_the_rest_is_right():
    (cell,) = judge([told(PRODUCTS, HONEST, [3, 3])], SCENARIO.plan).cells
    assert (cell.verdict, cell.opportunities) == ("valid", 2)
    assert (cell.measured("oversold"), cell.measured("attempts per s")) == (0, 3)
    assert cell.measured("database CPU µs per attempt") == 1000


def test_every_unit_that_does_not_exist_is_counted_and_every_such_slot_is_a_witness():
    (cell,) = judge([told("unguarded", [201] * 6, [4, 5])], SCENARIO.plan).cells
    assert (cell.violations, cell.measured("oversold")) == (2, 3)
    assert "hall has 3 units, and the log says 4 were sold" in cell.smallest_witness.sentence


def test_all_seven_must_hold_and_all_three_must_oversell():
    assert verdict(of_all()) == HOLDS
    assert verdict(of_all(serializable=([201] * 6, [4, 5]))) == VIOLATED
    for guard in OVERSELLING:
        assert verdict(of_all(**{guard: (HONEST, [3, 3])})) == INVALID_EXPERIMENT


def test_an_answer_that_the_log_does_not_bear_out_leaves_it_open():
    (cell,) = judge([told(PRODUCTS, HONEST, [2, 3])], SCENARIO.plan).cells
    assert cell.verdict == "unknown"
    assert "hall 3 units were answered 201, and the log says 2" in cell.judgements[0].reason


def test_a_booking_nobody_was_told_of_may_have_been_made_or_not():
    unknown = [201, 0, 201, 409, 409, 409]
    for sold in ([3, 3], [2, 3]):
        (cell,) = judge([told(PRODUCTS, unknown, sold)], SCENARIO.plan).cells
        assert cell.verdict == "valid"
        assert cell.notes == ["1 requests failed or were never answered"]


def test_who_is_refused_what_is_there_in_the_end_was_sent_away_wrongly():
    refused_early = [201, 409, 201, 409, 409, 409]
    (cell,) = judge([told("row_per_unit", refused_early, [2, 3])], SCENARIO.plan).cells
    assert cell.measured("falsely sold out") == 2
    (cell,) = judge([told("row_per_unit", HONEST, [3, 3])], SCENARIO.plan).cells
    assert cell.measured("falsely sold out") == 0


def test_each_abort_was_run_again_or_given_up():
    given_up = [201, 201, 201, 409, 503, 409]
    (cell,) = judge([told("serializable", given_up, [3, 3], aborts=9.0)], SCENARIO.plan).cells
    figures = [cell.measured(name) for name in ("aborts", "retries", "given up")]
    assert figures == [9, 8, 1]


def test_where_everybody_got_what_they_wanted_nothing_is_proved():
    few = told(PRODUCTS, [201], [2, 0])
    few.trial.facts["wanted"] = BUYERS[:1]
    (cell,) = judge([few], SCENARIO.plan).cells
    assert cell.verdict == "unknown"


def test_twice_as_many_units_are_wanted_as_there_are_and_the_same_by_everybody():
    group = Group(called=16, slots=16, capacity=8, party_max=3, groups=3)
    wanted = wanted_of(group, Random(7))  # noqa: S311 -- seeded on purpose
    of_slot = Counter()
    for slot, units in wanted:
        of_slot[slot] += units
    assert of_slot == dict.fromkeys(range(48), 16)
    assert wanted == wanted_of(group, Random(7))  # noqa: S311 -- seeded on purpose
    first_group = {slot for slot, _ in wanted[: len(wanted) // 4]}
    assert first_group <= set(range(16)), "one group after the other"


def test_answers_are_kept_by_number_and_what_may_have_happened_is_not_known():
    answers = Answers(3)
    answers.note(2, Answer(201, [], b""))
    answers.note(0, Answer(500, [], b""))
    answers.note(7, Answer(201, [], b""))  # asked again after the last
    assert answers.statuses.tolist() == [0, 0, 201]


@pytest.mark.long
@pytest.mark.timeout(180)
async def test_the_quick_form_holds(tmp_path):
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadtest", "run", "guard_bake_off", "--quick", "--seed", "7"),
        *("--out", str(tmp_path / "run")),
    )
    assert await child.wait() == HOLDS
