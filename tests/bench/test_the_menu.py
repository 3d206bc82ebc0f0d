"""Every measurement can be made, and is believed only when its books agree."""

import asyncio
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from booking.guards import GUARDS
from loadtest.bench import hot_slot, stays
from loadtest.bench.figures import Measured, Turn
from loadtest.bench.menu import MEASUREMENTS, ONLY_WHEN_ASKED
from loadtest.bench.plan import Plan
from loadtest.bench.run import measure
from loadtest.bench.words import summary
from loadtest.cli.bench import bench
from loadtest.failures import CannotRunError
from loadtest.system.ten_guards import GUARDS as GUARDS_COMPARED
from loadtest.system.ten_guards import OVERSELLING

SHORT = Plan(
    rounds=1,
    turn_s=0.3,
    warm_up_s=0.2,
    calibration_s=1,
    sustained_s=1.2,
    connections=16,
    clients=(16,),
    pipeline_clients=(16,),
    rebuild_events=12_000,
    flat_slots=2000,
    flat_events=4000,
)


async def made(name, plan=SHORT):
    said = []
    report = await measure([name], plan=plan, say=said.append, again=f"loadtest bench {name}")
    [measured] = report.measured
    assert said
    return measured


async def test_a_short_bench_sells_in_production_and_every_booking_is_in_the_books():
    measured = await made("stays")
    assert measured.arms == ["7-night stays", "hot slot"]
    assert measured.broken == []
    assert all(turn.answered > 0 and turn.astray == 0 for turn in measured.turns)
    assert measured.turns[0].cpu_us["api"] > 0


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", MEASUREMENTS)
async def test_every_measurement_can_be_made_and_its_books_agree(name):
    measured = await made(name)
    assert measured.broken == []
    assert measured.findings
    assert all(turn.answered > 0 for turn in measured.turns)
    assert all(turn.astray == 0 for turn in measured.turns if turn.arm not in measured.straying)


async def test_what_cannot_be_started_is_told_and_does_not_stop_the_others(monkeypatch):
    async def cannot(bench):
        raise CannotRunError("There is no disk.")

    async def can(bench):
        turn = Turn(
            arm="one", seconds=1, answered=1, astray=0, per_second=1, clients=1, p50_ms=1, p99_ms=1
        )
        return Measured(name="stays", claim="it stays", wanted=[], turns=[turn], broken=[])

    monkeypatch.setattr(hot_slot, "measure", cannot)
    monkeypatch.setattr(stays, "measure", can)
    report = await measure(
        ["hot_slot", "stays"], plan=SHORT, say=lambda _: None, again="loadtest bench"
    )
    assert [one.holds for one in report.measured] == [False, True]
    assert "hot_slot: There is no disk." in summary(report)
    with pytest.raises(CannotRunError, match=r"There is no disk\."):
        await measure(["hot_slot"], plan=SHORT, say=lambda _: None, again="loadtest bench")


async def test_an_interruption_keeps_what_was_measured_and_names_what_was_not(monkeypatch):
    async def done(bench):
        return Measured(name="stays", claim="it stays", wanted=[], turns=[], broken=[])

    async def stopped(bench):
        raise asyncio.CancelledError

    monkeypatch.setattr(stays, "measure", done)
    monkeypatch.setattr(hot_slot, "measure", stopped)
    report = await measure(
        ["stays", "hot_slot", "slot_read"], plan=SHORT, say=lambda _: None, again="loadtest bench"
    )
    assert [one.name for one in report.measured] == ["stays"]
    assert report.interrupted
    assert report.not_measured == ["hot_slot", "slot_read"]


def test_the_guards_compared_are_all_that_guard_the_last_place():
    # What else can be chosen are other mistakes, made for one scenario each.
    assert set(GUARDS_COMPARED) <= set(GUARDS)
    assert {name for name in GUARDS_COMPARED if GUARDS[name].oversells} == OVERSELLING


def test_the_list_names_every_measurement_with_its_claim():
    said = CliRunner().invoke(bench, ["--list"]).output
    for name, measurement in MEASUREMENTS.items():
        assert f"{name} " in said
        assert measurement.CLAIM in said
    assert "only when named" in said
    assert set(MEASUREMENTS) >= ONLY_WHEN_ASKED


def test_an_unknown_measurement_is_one_sentence_with_the_remedy():
    refused = CliRunner().invoke(bench, ["cold_slot"])
    assert "loadtest bench --list" in str(refused.exception)


def test_the_page_of_the_bench_has_a_row_for_every_measurement():
    page = (Path(__file__).parents[2] / "docs/bench.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(MEASUREMENTS)
