"""A promise about speed holds only if the figures can be believed."""

import msgspec
import pytest
from msgspec.structs import replace

from loadtest.bench.figures import (
    Machine,
    Measured,
    Report,
    Turn,
    Wanted,
    as_written,
    find,
    ratio,
    spread,
)
from loadtest.bench.page import page
from loadtest.bench.words import summary
from loadtest.instruments.cpu_used import per_answer_us
from loadtest.verdict import INTERRUPTED

THREE_TIMES = Wanted(says="fast against slow", arm="fast", against="slow", at_least=3)
SOON = Wanted(says="answered soon", arm="fast", figure="age_p99_ms", at_most=150)


def turn(arm, per_second, **different):
    fields = {
        "arm": arm,
        "seconds": 3.0,
        "answered": int(per_second * 3),
        "astray": 0,
        "per_second": per_second,
        "p50_ms": 10.0,
        "p99_ms": 30.0,
        "clients": 128,
        "cpu_us": {"api": 60.0, "generator": 15.0},
    }
    return Turn(**(fields | different))


MEASURED = Measured(
    name="a_race",
    claim="the fast one is fast",
    wanted=[THREE_TIMES, SOON],
    turns=[
        *(turn("slow", rate) for rate in (4000, 3000, 4200)),
        *(turn("fast", rate, more={"age_p99_ms": 40.0}) for rate in (12000, 9000, 13000)),
    ],
    broken=[],
    notes=["a note <beside>"],
)
REPORT = Report(
    started_at="2030-01-01T00:00:00Z",
    took_s=60.0,
    command="loadtest bench a_race",
    machine=Machine(
        cores=2, processor="a processor", system="Linux 6", python="3.11.7", load_before=0.25
    ),
    fdatasync_p50_ms=0.25,
    flush_p50_ms=0.25,
    measured=[MEASURED],
)


def test_a_rate_is_the_median_of_its_turns_with_its_spread():
    assert msgspec.structs.astuple(spread([5, 1, 4])) == (4, 1, 5)


def test_a_ratio_is_that_of_the_medians_and_its_spread_that_of_neighbouring_turns():
    found = find(THREE_TIMES, MEASURED)
    assert (found.value.median, found.value.lowest, round(found.value.highest, 2)) == (
        3.0,
        3.0,
        3.1,
    )
    assert found.holds is True


def test_where_one_arm_took_more_turns_the_spread_is_that_of_the_extremes():
    assert msgspec.structs.astuple(ratio([90], [40, 50, 30])) == (2.25, 1.8, 3.0)


def test_slower_than_promised_does_not_hold():
    slow = replace(MEASURED, turns=[turn("slow", 4000), turn("fast", 6000, more={"age_p99_ms": 1})])
    [objection] = slow.objections
    assert objection == "fast against slow: 1.50, wanted ≥ 3."
    assert not slow.holds


def test_later_than_promised_does_not_hold():
    late = replace(
        MEASURED, turns=[turn("slow", 1000), turn("fast", 6000, more={"age_p99_ms": 151.0})]
    )
    [objection] = late.objections
    assert objection == "answered soon: 151.00, wanted ≤ 150."


def test_what_nobody_promised_is_told_and_not_judged():
    told = replace(MEASURED, wanted=[replace(THREE_TIMES, at_least=None)])
    assert told.findings[0].holds is None
    assert told.holds
    assert "for information" in summary(replace(REPORT, measured=[told]))


def test_answers_astray_spoil_a_measurement_unless_they_are_what_is_measured():
    astray = replace(MEASURED, turns=[*MEASURED.turns, turn("slow", 4000, astray=3)])
    [objection] = astray.objections
    assert objection == "3 requests of slow were not answered as they should be."
    assert replace(astray, straying=["slow"]).holds


def test_books_that_do_not_agree_spoil_every_promise_of_a_measurement():
    broken = replace(MEASURED, broken=["One booking is missing."])
    assert broken.objections == ["One booking is missing."]
    said = summary(replace(REPORT, measured=[broken]))
    assert said.count("DOES NOT HOLD") == 2
    assert said.endswith("NOT EVERYTHING HOLDS")


def test_where_flushes_are_free_or_slow_the_report_says_that_ratios_compare_with_nothing():
    assert "within 0.1 to 0.5 ms" in summary(REPORT)
    assert "OUTSIDE 0.1 to 0.5 ms: flushes are almost free" in summary(
        replace(REPORT, flush_p50_ms=0.02)
    )
    assert "OUTSIDE 0.1 to 0.5 ms: flushes are slow" in summary(replace(REPORT, flush_p50_ms=4.0))


def test_flushes_that_were_delayed_on_purpose_are_told_beside_what_the_disk_costs():
    delayed = replace(REPORT, fdatasync_p50_ms=0.075, flush_delay_ms=0.1, flush_p50_ms=0.21)
    assert (
        "fdatasync p50 0.075 ms, 0.210 ms with the 0.100 ms that every flush of Postgres waits ON PURPOSE, in all arms, within"
        in summary(delayed)
    )


def test_a_machine_that_others_use_is_told():
    busy = replace(REPORT.machine, load_before=3.0)
    assert "load 3.0, BUSY before" in summary(replace(REPORT, machine=busy))


@pytest.mark.parametrize(
    "part",
    [
        "a_race  fast against slow  ≥ 3    3.00 (3.00 to 3.10)     holds",
        "a_race  answered soon      ≤ 150  40.00 (40.00 to 40.00)  holds",
        "fast  12,000/s (9,000 to 13,000) with 128 clients, p50 10.0 ms, p99 30.0 ms, age p99 ms 40.00",
        "CPU api 60, generator 15 µs each",
        "a note <beside>",
        "2 cores, a processor, Linux 6, Python 3.11.7; load 0.2, quiet before",
        "again: loadtest bench a_race",
        "everything holds",
    ],
)
def test_the_summary_tells_promise_speed_spread_cpu_and_machine(part):
    assert part in summary(REPORT)


def test_the_json_has_the_judgement_beside_what_was_measured():
    written = msgspec.json.decode(msgspec.json.encode(as_written(REPORT)))
    [measured] = written["measured"]
    assert written["holds"] is measured["holds"] is True
    assert measured["findings"][0]["value"]["median"] == 3.0
    assert [one["per_second"] for one in measured["turns"]][-3:] == [12000, 9000, 13000]


def test_the_page_shows_every_promise_and_asks_the_network_for_nothing():
    shown = page(REPORT)
    assert "fast against slow" in shown
    assert "a note &lt;beside&gt;" in shown
    assert "http://" not in shown
    assert "https://" not in shown


def test_an_interrupted_bench_that_measured_nothing_does_not_say_that_anything_holds():
    nothing = replace(
        REPORT, measured=[], interrupted=True, not_measured=["a_race"], fdatasync_p50_ms=0.0
    )
    said = summary(nothing)
    assert said.endswith("interrupted, so not measured: a_race\nnothing was measured")
    assert "flushes are almost free" not in said
    assert '<p class="verdict bad">Nothing was measured. Interrupted, so' in page(nothing)
    assert as_written(nothing)["holds"] is None
    assert nothing.exit_code == INTERRUPTED


def test_an_interrupted_bench_judges_what_was_measured_and_names_what_was_not():
    half = replace(REPORT, interrupted=True, not_measured=["b_race", "c_race"])
    said = summary(half)
    assert said.endswith("interrupted, so not measured: b_race, c_race\nwhat was measured holds")
    assert "What was measured holds. Interrupted, so not measured: b_race, c_race." in page(half)
    missed = replace(half, measured=[replace(MEASURED, broken=["One booking is missing."])])
    assert summary(missed).endswith("NOT EVERYTHING HOLDS")


def test_the_page_tells_how_long_a_turn_was_also_where_it_was_short():
    short = [replace(each, seconds=0.504) for each in MEASURED.turns]
    assert "3 of 0.5 s" in page(replace(REPORT, measured=[replace(MEASURED, turns=short)]))
    assert "3 of 3 s" in page(REPORT)


def test_cpu_is_told_per_answer_and_only_of_who_worked():
    before = {"generator": 1.0, "api": 2.0, "relay": 0.5}
    after = {"generator": 1.5, "api": 3.0, "relay": 0.5, "postgres": 0.25}
    assert per_answer_us(before, after, 10_000) == {"generator": 50, "api": 100, "postgres": 25}
