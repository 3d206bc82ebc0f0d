"""What a run says about itself: its figures, its verdict, its exit code, and a page that needs nobody."""

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import msgspec
import pytest
from msgspec.structs import replace
from rich.console import Console

from loadtest.checkers.no_overbooking import no_overbooking
from loadtest.failures import CannotRunError
from loadtest.findings import Arm, Findings, Plan, Row
from loadtest.history import FinalSlot, LoggedEvent, LoggedSlot, Operation, append, read
from loadtest.measurement import Generator, measure, summarise
from loadtest.reports import store
from loadtest.reports.html import page
from loadtest.reports.text import caveats, print_findings

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
PLAN = Plan(lags_ms=[0, 50, 200], sales=1, capacity=50, buyers_per_s=100, think_ms=20)


def row(arm: Arm, lag_ms: int, *, missing_version: int | None = None) -> Row:
    """A sale told by hand: one buyer every 10 ms, each deciding 20 ms after looking at a view that is `lag_ms` old."""
    sold_out_after = PLAN.capacity
    attempts = sold_out_after + (lag_ms + 20) // 10
    operations, events = [], [_event(1, 0, NOON, 0)]
    for number in range(attempts):
        looked = NOON + timedelta(milliseconds=10 * number)
        decided = looked + timedelta(milliseconds=20)
        accepted = arm == "unguarded" or number < sold_out_after
        as_of = looked - timedelta(milliseconds=lag_ms)
        operations += _buyer(arm, number, as_of, lag_ms, accepted=accepted, decided=decided)
        if accepted:
            events.append(_event(number + 2, 1, decided, number + 1))
    last = events[-1].slots[0]
    final = msgspec.convert(msgspec.to_builtins(last), FinalSlot)
    events = [event for event in events if event.slots[0].version != missing_version]
    sale = measure(
        "hall",
        capacity=PLAN.capacity,
        operations=operations,
        events=events,
        judgement=no_overbooking(events, operations, final),
        generator=Generator(offered=attempts, late_p99_ms=1, dropped=0),
    )
    return summarise(arm, lag_ms, PLAN, [sale])


def _event(version: int, units: int, at: datetime, sold: int) -> LoggedEvent:
    slot = LoggedSlot(
        slot_id="hall",
        units=units,
        version=version,
        capacity=PLAN.capacity,
        overbooking_units=0,
        held=0,
        confirmed=sold,
        remaining=PLAN.capacity - sold,
    )
    return LoggedEvent(
        position=version,
        type="BookingConfirmed",
        recorded_at=at,
        command_id=f"k{version - 2}",
        booking_id=f"b{version - 2}",
        slots=[slot],
    )


def _buyer(arm, number, as_of, lag_ms, *, accepted, decided) -> list[Operation]:
    look = Operation(
        run="r",
        arm=arm,
        journey=number,
        op="look",
        slot_id="hall",
        units=1,
        intended_ns=0,
        invoke_ns=0,
        return_ns=1,
        outcome="ok",
        status=200,
        remaining=1,
        as_of=as_of,
        lag_ms=float(lag_ms),
    )
    book = replace(
        look,
        op="book",
        key=f"k{number}",
        return_ns=2_000_000,
        outcome="ok" if accepted else "failed",
        status=201 if accepted else 409,
        as_of=None if accepted else decided,
    )
    return [look, book]


def findings(rows: list[Row], *, complete: bool = True) -> Findings:
    return Findings(
        scenario="oversell",
        claim="No unit is sold twice.",
        seed=7,
        started_at=NOON,
        seconds=30,
        first_request_s=2,
        complete=complete,
        reproduce="loadtest demo --seed 7",
        environment={"python": "3.11"},
        plan=PLAN,
        rows=rows,
    )


ALL_WELL = [row(arm, lag) for arm in ("unguarded", "guarded") for lag in PLAN.lags_ms]


def test_the_age_of_a_decision_is_measured_in_database_time_and_predicts_the_oversell():
    late = row("unguarded", 200)
    assert late.sales[0].decision_staleness_ms == pytest.approx(220)
    assert late.think_and_queue_ms == pytest.approx(20)
    assert late.expected == pytest.approx(22)
    assert (late.oversold, late.as_predicted) == (22, True)


def test_with_the_guard_the_same_cost_is_paid_in_refusals():
    late = row("guarded", 200)
    assert (late.oversold, late.refused, late.as_predicted) == (0, 22, True)
    assert late.opportunities == 22


def test_oversold_without_the_guard_and_never_with_it_is_what_holds():
    assert findings(ALL_WELL).exit_code == 0
    assert findings(ALL_WELL).sentence.startswith("HOLDS")


def test_a_control_arm_that_shows_nothing_makes_the_experiment_invalid():
    harmless = [replace(row("guarded", r.injected_lag_ms), arm=r.arm) for r in ALL_WELL]
    assert findings(harmless).exit_code == 3
    assert findings(harmless).sentence.startswith("INVALID EXPERIMENT")


def test_one_staleness_without_an_oversell_is_enough_to_be_invalid():
    shown = [r for r in ALL_WELL if (r.arm, r.injected_lag_ms) != ("unguarded", 50)]
    assert findings(shown).exit_code == 3


def test_at_no_injected_staleness_the_control_need_not_oversell():
    shown = [r for r in ALL_WELL if (r.arm, r.injected_lag_ms) != ("unguarded", 0)]
    assert findings(shown).exit_code == 0


def test_an_oversell_with_the_guard_on_is_a_violation_whatever_the_control_showed():
    violated = [replace(row("unguarded", 50), arm="guarded")]
    assert findings(violated).exit_code == 1
    assert findings(violated, complete=False).exit_code == 1
    assert findings(violated).sentence.startswith("VIOLATED")


def test_evidence_with_a_hole_holds_nothing():
    holed = [*ALL_WELL[:3], row("guarded", 200, missing_version=30)]
    assert findings(holed).exit_code == 3
    assert any("version 30" in caveat for caveat in caveats(findings(holed)))


def test_an_interrupted_run_says_so_and_shows_what_it_has():
    some = findings(ALL_WELL[:2], complete=False)
    assert some.exit_code == 130
    assert "INTERRUPTED" in page(some)


def test_the_table_shows_every_row_beside_its_theory(capsys):
    print_findings(Console(width=80), findings(ALL_WELL))
    shown = capsys.readouterr().out
    assert shown.count("yes") == len(ALL_WELL)
    assert "22 ± 14" in shown


class _Addresses(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self.found += [str(v) for k, v in attrs if k in ("src", "href", "action", "data")]


def test_the_page_asks_the_network_for_nothing():
    html = page(findings(ALL_WELL))
    addresses = _Addresses()
    addresses.feed(html)
    assert addresses.found == []
    assert not re.search(r"https?://|url\(|@import", html)
    assert len(html) < 200_000


def test_the_page_shows_each_point_with_its_value_and_the_smallest_witness():
    html = page(findings(ALL_WELL))
    assert "guard off, S = 200 ms\noversold: 22.0" in html
    assert "made it 51 units sold of 50" in html


def test_a_run_on_disk_is_read_back_as_it_was(tmp_path):
    run = findings(ALL_WELL)
    store.write(run, tmp_path)
    assert store.read(tmp_path) == run
    with pytest.raises(CannotRunError, match="--out"):
        store.read(tmp_path / "elsewhere")


def test_a_history_on_disk_is_one_line_per_operation(tmp_path):
    operations = _buyer("guarded", 1, NOON, 50, accepted=True, decided=NOON)
    append(tmp_path / "history.jsonl", operations[:1])
    append(tmp_path / "history.jsonl", operations[1:])
    assert read(tmp_path / "history.jsonl") == operations
