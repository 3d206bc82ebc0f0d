"""Scenario 17 judged by hand: how late reads were and what it cost are told per arm, and a read that is not true is found."""

import asyncio
import sys

import msgspec
import pytest
from told import HALL, Log, did

from loadtest.checkers.honest_reads import Staleness
from loadtest.evidence.trial import Record, Trial
from loadtest.experiment.findings import ScenarioFindings
from loadtest.instruments.server_load import Reading, load_between
from loadtest.scenarios.events_or_polling import ARMS, EVENTS, SCENARIO, judge, stale_by_age
from loadtest.verdict import HOLDS, VIOLATED


def reading(at_s: float, postgres_s: float, committed: int) -> Reading:
    return Reading(
        asked_ns=0,
        at_ns=int(at_s * 1e9),
        cpu_s={"postgres": postgres_s, "generator": 9.0},
        committed=committed,
        rolled_back=0,
    )


QUIET = load_between(reading(0, 0.0, 0), reading(2, 0.01, 8))
BUSY = load_between(reading(2, 0.01, 8), reading(4, 0.51, 408))


def told(arm, *looks, log=None) -> Record:
    log = log or Log().opened().booked("k1").booked("k2")
    books = [did("book", 10, 11, key="k1"), did("book", 20, 21, key="k2", by=2)]
    trial = Trial(
        name="r",
        arm=arm.name,
        knobs={},
        slot_ids=[HALL],
        facts={
            "quiet": msgspec.to_builtins(QUIET),
            "busy": msgspec.to_builtins(BUSY),
            "counted_from_ns": int(15e6),
        },
    )
    return Record(trial=trial, operations=[*books, *looks], events=log.events)


def look(at_ms: float, version: int, remaining: int):
    return did("look", at_ms, version=version, remaining=remaining, by=int(at_ms))


def verdict(cells) -> int:
    facts = {"name": "n", "number": 17, "claim": "", "fault": "", "anomaly": "", "knob": ""}
    return ScenarioFindings(**facts, kind="comparison", cells=cells).exit_code


def test_lateness_is_counted_from_the_last_moment_at_which_the_next_version_can_have_come():
    early, fresh, late = look(12, 1, 10), look(30, 3, 8), look(51, 2, 9)
    (cell,) = judge([told(EVENTS, early, fresh, late)], SCENARIO.plan).cells
    assert cell.measured("reads") == 2, "who looked before all had settled does not count"
    assert cell.measured("stale p99 ms") == 30
    assert cell.measured("versions behind, mean") == 0.5
    assert (cell.verdict, verdict([cell])) == ("valid", HOLDS)


def test_what_it_costs_is_told_per_second_and_without_the_generators_share():
    (cell,) = judge([told(EVENTS, look(30, 3, 8))], SCENARIO.plan).cells
    assert cell.measured("busy db CPU ms/s") == pytest.approx(250)
    assert cell.measured("quiet db CPU ms/s") == pytest.approx(5)
    assert cell.measured("busy db tx/s") == 200
    assert "generator" not in BUSY.cpu_ms_per_s


def test_a_read_that_never_was_true_convicts_although_nothing_is_compared_by_it():
    (cell,) = judge([told(EVENTS, look(30, 3, 7))], SCENARIO.plan).cells
    assert (cell.violations, verdict([cell])) == (1, VIOLATED)


def test_where_the_log_does_not_know_what_was_read_it_is_not_known_whether_it_was_true():
    (cell,) = judge([told(EVENTS, look(30, 9, 1))], SCENARIO.plan).cells
    assert cell.verdict == "unknown"


def test_every_arm_has_a_cell_and_a_place_in_every_picture():
    judged = judge(
        [told(arm, look(30, 3, 8), look(40, 2, 9)) for arm, _ in ARMS.values()], SCENARIO.plan
    )
    assert [cell.arm for cell in judged.cells] == list(ARMS)
    assert [len(figure.key) for figure in judged.figures] == [4, 5, 4]  # five with theory


@pytest.mark.long
@pytest.mark.timeout(120)
async def test_events_are_fresher_than_polling_every_half_second(tmp_path):
    out = tmp_path / "run"
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadtest", "run", "17", "--quick", "--seed", "7"),
        *("--out", str(out)),
    )
    assert await child.wait() == HOLDS
    result = msgspec.json.decode((out / "result.json").read_bytes())
    cells = {cell["arm"]: cell for cell in result["scenarios"][0]["cells"]}
    p50_ms = {
        arm: next(m["value"] for m in cell["measures"] if m["name"] == "stale p50 ms")
        for arm, cell in cells.items()
    }
    assert p50_ms["events"] < p50_ms["polling 500 ms"]


def test_how_often_a_read_is_stale_is_counted_per_age_as_the_answer_said_it():
    looks = [did("look", 30 + n, version=2 if n % 3 else 3, lag_ms=4.0) for n in range(30)]
    young = [did("look", 90 + n, version=2, lag_ms=0.5) for n in range(30)]
    reads = [
        Staleness(read=look, versions_behind=3 - look.version, stale_ms=0.0)
        for look in [*looks, *young, did("look", 200, version=2, lag_ms=80.0)]
    ]
    assert stale_by_age(reads) == [(4.0, 20 / 30, 30)], "a single read is no share"
