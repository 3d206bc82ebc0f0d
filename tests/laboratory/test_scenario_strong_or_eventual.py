"""Scenario 18 judged by hand: what either arm answered and how late it was; nothing is judged but that it was true."""

import asyncio
import sys

import msgspec
import pytest
from told import HALL, Log, did

from loadtest.evidence.trial import Generator, Record, Trial
from loadtest.experiment.findings import ScenarioFindings
from loadtest.instruments.server_load import Load
from loadtest.scenarios.strong_or_eventual import CQRS, CRUD, FIXED, SCENARIO, judge
from loadtest.verdict import HOLDS, VIOLATED

LOAD = Load(
    seconds=2.0,
    cpu_ms_per_s={"postgres": 100.0, "relay": 3.0, "nats-server": 4.0},
    transactions_per_s=50.0,
    rolled_back=0,
)


def told(arm, load: str, operations=(), events=(), **facts) -> Record:
    trial = Trial(
        name="r",
        arm=arm.name,
        knobs={"load": load},
        slot_ids=[HALL],
        generators=[Generator(offered=len(operations), seconds=2.0)],
        facts={"load": msgspec.to_builtins(LOAD)} | facts,
    )
    return Record(trial=trial, operations=list(operations), events=list(events))


def fixed(arm, *looks) -> Record:
    log = Log().opened().booked("k1").booked("k2")
    books = [did("book", 10, 11, key="k1"), did("book", 20, 21, key="k2", by=2)]
    return told(arm, FIXED, [*books, *looks], log.events)


def look(at_ms: float, version: int, remaining: int):
    return did("look", at_ms, at_ms + 4, version=version, remaining=remaining, by=int(at_ms))


def saturated(arm, load: str, **per_s: float) -> Record:
    answered = {
        kind: {"per_s": rate, "astray": 0, "p50_ms": 2.0, "p99_ms": 9.0}
        for kind, rate in per_s.items()
    }
    return told(arm, load, answered=answered)


def verdict(cells) -> int:
    facts = {"name": "n", "number": 18, "claim": "", "fault": "", "anomaly": "", "knob": "load"}
    return ScenarioFindings(**facts, kind="comparison", cells=cells).exit_code


def test_rates_latencies_and_lateness_of_the_fixed_load_come_from_the_history():
    (cell,) = judge([fixed(CQRS, look(30, 3, 8), look(51, 2, 9))], SCENARIO.plan).cells
    assert (cell.measured("look/s"), cell.measured("look p50 ms")) == (1.0, 4.0)
    assert (cell.measured("stale p99 ms"), cell.measured("stale reads %")) == (30, 50)
    assert cell.measured("relay and NATS CPU ms/s") == 7
    assert (cell.verdict, verdict([cell])) == ("valid", HOLDS)


def test_a_read_that_never_was_true_convicts_whichever_arm_answered_it():
    for arm in (CRUD, CQRS):
        (cell,) = judge([fixed(arm, look(30, 3, 7))], SCENARIO.plan).cells
        assert (cell.violations, verdict([cell])) == (1, VIOLATED)


def test_where_the_log_does_not_know_what_was_read_it_is_not_known_whether_it_was_true():
    (cell,) = judge([fixed(CRUD, look(30, 9, 1))], SCENARIO.plan).cells
    assert cell.verdict == "unknown"


def test_both_arms_stand_side_by_side_at_every_load():
    records = [
        told_of
        for arm in (CRUD, CQRS)
        for told_of in (
            fixed(arm, look(30, 3, 8)),
            saturated(arm, "looks", look=900.0),
            saturated(arm, "all", look=500.0, page=100.0, book=70.0),
        )
    ]
    judged = judge(records, SCENARIO.plan)
    assert [cell.measured("look/s") for cell in judged.cells[1:3]] == [900, 500]
    for figure in judged.figures:
        assert [len(dots.points) for dots in figure.drawn] == [7, 7]


def test_requests_that_went_astray_are_told():
    record = saturated(CRUD, "looks", look=900.0)
    record.trial.facts["answered"]["look"]["astray"] = 3
    (cell,) = judge([record], SCENARIO.plan).cells
    assert cell.notes == ["3 requests failed or were never answered"]


@pytest.mark.long
@pytest.mark.timeout(120)
async def test_the_calendar_is_answered_faster_from_a_model_of_its_own(tmp_path):
    out = tmp_path / "run"
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadtest", "run", "18", "--quick", "--seed", "7"),
        *("--out", str(out)),
    )
    assert await child.wait() == HOLDS
    result = msgspec.json.decode((out / "result.json").read_bytes())
    per_s = {
        cell["arm"]: measure["value"]
        for cell in result["scenarios"][0]["cells"]
        for measure in cell["measures"]
        if cell["knob"] == "pages" and measure["name"] == "page/s"
    }
    assert per_s["CQRS"] > per_s["CRUD"]
