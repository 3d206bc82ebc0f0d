"""What a run says about itself: its figures, its verdict, its exit code, and a page that needs nobody."""

import re
from datetime import timedelta
from html.parser import HTMLParser

import msgspec
import pytest
from click.testing import CliRunner
from msgspec.structs import replace
from rich.console import Console
from sales_told_by_hand import NOON, PLAN, buyer, sale

from loadtest.cli import cli
from loadtest.evidence.trial import PLAN as PLAN_FILE
from loadtest.evidence.trial import Generator, Record, append_trial
from loadtest.experiment.asked import RUN, Asked
from loadtest.experiment.findings import Cell, Findings, Judged, ScenarioFindings
from loadtest.failures import CannotRunError
from loadtest.history import FILE, append, read
from loadtest.reports import store
from loadtest.reports.comparison import differences
from loadtest.reports.html import page
from loadtest.reports.text import caveats, print_findings
from loadtest.run import FACTS, findings_of
from loadtest.scenarios import SCENARIOS
from loadtest.scenarios.oversell import SCENARIO, judge
from loadtest.verdict import judged

LAGS_MS = PLAN.lags_ms
ALL_WELL = [sale(arm, lag) for arm in ("unguarded", "guarded") for lag in LAGS_MS]


def of(judged: Judged, *, complete: bool = True, **members) -> ScenarioFindings:
    return ScenarioFindings(
        name=SCENARIO.name,
        number=SCENARIO.number,
        claim=SCENARIO.claim,
        fault=SCENARIO.fault,
        anomaly=SCENARIO.anomaly,
        knob=SCENARIO.knob,
        kind=SCENARIO.kind,
        cells=judged.cells,
        figures=judged.figures,
        complete=complete,
        **members,
    )


def oversell(records: list[Record], **members) -> ScenarioFindings:
    return of(judge(records, PLAN), **members)


def findings(records: list[Record], *, complete: bool = True) -> Findings:
    return Findings(
        seed=7,
        started_at=NOON,
        seconds=30,
        complete=complete,
        reproduce="loadtest demo --seed 7",
        environment={"python": "3.11"},
        scenarios=[oversell(records, complete=complete)],
    )


def cell_of(record: Record) -> Cell:
    [cell] = judge([record], PLAN).cells
    return cell


def test_the_age_of_a_decision_is_measured_in_database_time_and_predicts_the_oversell():
    late = cell_of(sale("unguarded", 200))
    assert late.theory.expected == pytest.approx(22)  # 100 a second, 220 ms each
    assert late.measured("Z ms") == pytest.approx(20)
    assert (late.measured("oversold"), late.as_predicted) == (22, True)


def test_with_the_guard_the_same_cost_is_paid_in_refusals():
    late = cell_of(sale("guarded", 200))
    assert (late.measured("oversold"), late.measured("refused")) == (0, 22)
    assert (late.as_predicted, late.opportunities) == (True, 22)


def test_oversold_without_the_guard_and_never_with_it_is_what_holds():
    assert findings(ALL_WELL).exit_code == 0
    sentence = oversell(ALL_WELL).sentence
    assert sentence.startswith("HOLDS: without the guard up to 22 units sold that did not exist")
    assert "rate below" in sentence


def test_a_control_arm_that_shows_nothing_makes_the_experiment_invalid():
    cells = judge([r for r in ALL_WELL if r.trial.arm == "guarded"], PLAN).cells
    harmless = [replace(c, arm="unguarded", guard="off", must_show=True) for c in cells]
    found = of(Judged(cells=[*harmless, *cells]))
    assert found.exit_code == 3
    assert found.sentence.startswith("INVALID EXPERIMENT")


def test_one_staleness_without_an_oversell_is_enough_to_be_invalid():
    cells = judge(ALL_WELL, PLAN).cells
    harmless = replace(cells[3], arm="unguarded", guard="off", knob=50, must_show=True)
    assert of(Judged(cells=[cells[0], harmless, *cells[2:]])).exit_code == 3


def test_at_no_injected_staleness_the_control_need_not_oversell():
    shown = [r for r in ALL_WELL if r.trial.name != "unguarded-0"]
    assert findings(shown).exit_code == 0


def test_an_oversell_with_the_guard_on_is_a_violation_whatever_the_control_showed():
    cells = judge([sale("unguarded", 50)], PLAN).cells
    violated = Judged(cells=[replace(cells[0], arm="guarded", guard="on")])
    assert of(violated).exit_code == 1
    assert of(violated, complete=False).exit_code == 1
    assert of(violated).sentence.startswith("VIOLATED")


@pytest.mark.parametrize(
    ("arm", "why"),
    [("guarded", "the control was not tried"), ("unguarded", "only the control was tried")],
)
def test_one_arm_alone_proves_nothing_and_is_told_apart_from_a_hole(arm, why):
    alone = oversell([r for r in ALL_WELL if r.trial.arm == arm])
    assert alone.exit_code == 3
    assert why in alone.sentence


def test_evidence_with_a_hole_holds_nothing():
    holed = [*ALL_WELL[:5], sale("guarded", 200, missing_version=30)]
    assert findings(holed).exit_code == 3
    assert any("version 30" in caveat for caveat in caveats(oversell(holed)))


def test_against_a_deployment_there_is_no_control_and_the_findings_say_so():
    guarded = [r for r in ALL_WELL if r.trial.arm == "guarded"]
    found = oversell(guarded, target=True, control_elsewhere="reports/reference")
    assert found.exit_code == 0
    assert found.sentence.startswith("VALID (no control here) (control: reports/reference)")
    unread = [replace(record, events=[]) for record in guarded]
    assert oversell(unread, target=True).exit_code == 3
    assert oversell(unread, target=True).sentence.startswith("UNKNOWN (no control here)")


def test_a_comparison_has_no_verdict_and_a_theory_is_held_to_its_band():
    cells = judge(ALL_WELL, PLAN).cells
    assert of(Judged(cells=cells)).kind == "guard"
    compared = replace(of(Judged(cells=cells)), kind="comparison")
    assert (compared.exit_code, compared.sentence.partition(":")[0]) == (0, "COMPARED")
    holed = [replace(c, judgements=[judged("a rule", opportunities=1, hole="?")]) for c in cells]
    holed = replace(compared, cells=holed)
    assert (holed.exit_code, holed.sentence.partition(":")[0]) == (3, "INVALID EXPERIMENT")
    guarded = [cell for cell in cells if cell.guard == "on"]
    assert replace(of(Judged(cells=guarded)), kind="theory").exit_code == 0
    far_off = replace(guarded[-1], theory=replace(guarded[-1].theory, expected=90.0))
    outside = replace(of(Judged(cells=[*guarded[:-1], far_off])), kind="theory")
    assert outside.exit_code == 1
    assert "S ms = 200" in outside.sentence
    late = replace(far_off, generators=[Generator(offered=1, late_p99_ms=50)])
    unfair = replace(of(Judged(cells=[*guarded[:-1], late])), kind="theory")
    assert unfair.exit_code == 3  # the generator was late itself, so nothing can be said


def test_an_interrupted_run_says_so_and_shows_what_it_has():
    some = findings(ALL_WELL[:2], complete=False)
    assert some.exit_code == 130
    assert "INTERRUPTED" in page(some)


def test_the_table_shows_every_row_beside_its_theory(capsys):
    print_findings(Console(width=100), findings(ALL_WELL))
    shown = capsys.readouterr().out
    assert shown.count("yes") == len(ALL_WELL)
    assert "22 ± 14" in shown


class _Addresses(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 -- HTMLParser's signature
        self.found += [str(v) for k, v in attrs if k in ("src", "href", "action", "data")]


def test_the_page_asks_the_network_for_nothing():
    html = page(findings(ALL_WELL))
    addresses = _Addresses()
    addresses.feed(html)
    assert [address for address in addresses.found if not address.startswith("#")] == []
    assert not re.search(r"https?://|url\(|@import", html)
    assert len(html) < 200_000


def test_the_page_shows_each_point_with_its_value_and_the_smallest_witness():
    html = page(findings(ALL_WELL))
    assert "guard off, S, injected staleness of the view (ms) = 200\noversold: 22" in html
    assert "made it 51 units sold of 50" in html


def test_the_grid_is_green_only_if_the_anomaly_shows_without_the_guard_and_not_with_it():
    assert '<td class="good">holds</td>' in page(findings(ALL_WELL))
    guarded_only = [r for r in ALL_WELL if r.trial.arm == "guarded"]
    assert '<td class="good">' not in page(findings(guarded_only))


def on_disk(tmp_path, *, also: tuple[str, ...] = ()) -> None:
    """A complete run of which all is well, and of other scenarios the folder as it is when they could not be carried out."""
    folder = tmp_path / SCENARIO.name
    folder.mkdir()
    (folder / PLAN_FILE).write_bytes(msgspec.json.encode(PLAN))
    facts = {"name": SCENARIO.name, "seconds": 1.0, "complete": True}
    (folder / FACTS).write_bytes(msgspec.json.encode(facts))
    for number, record in enumerate(ALL_WELL):
        trial = replace(record.trial, log=f"events-{number}.jsonl")
        append_trial(folder, trial)
        append(folder / FILE, record.operations)
        lines = [msgspec.json.encode(event) + b"\n" for event in record.events]
        (folder / trial.log).write_bytes(b"".join(lines))
    asked = Asked(
        seed=7,
        started_at=NOON,
        reproduce="loadtest run oversell --seed 7",
        environment={},
        scenarios=[SCENARIO.name, *also],
        complete=True,
    )
    (tmp_path / RUN).write_bytes(msgspec.json.encode(asked))
    for name in also:
        (tmp_path / name).mkdir()
        (tmp_path / name / PLAN_FILE).write_bytes(msgspec.json.encode(SCENARIOS[name].plan))
        failed = {"name": name, "seconds": 1.0, "complete": True, "failure": "It was refused."}
        (tmp_path / name / FACTS).write_bytes(msgspec.json.encode(failed))


def test_a_run_on_disk_is_judged_again_from_its_histories(tmp_path):
    on_disk(tmp_path)
    found = findings_of(tmp_path)
    assert found.exit_code == 0
    assert found.scenarios[0].cells == judge(ALL_WELL, PLAN).cells
    store.write(found, tmp_path)
    assert store.read(tmp_path) == found
    with pytest.raises(CannotRunError, match="--out"):
        findings_of(tmp_path / "elsewhere")


def test_a_scenario_that_could_not_begin_is_no_success_of_the_others(tmp_path):
    on_disk(tmp_path, also=("stays",))
    found = findings_of(tmp_path)
    assert found.exit_code == 3
    assert "could not be carried out: It was refused." in found.scenarios[1].sentence
    reported = CliRunner().invoke(cli, ["report", str(tmp_path)])
    assert reported.exit_code == 3
    assert "It was refused." in reported.output


def test_a_control_is_the_newest_run_in_which_its_anomaly_showed_and_the_claim_held(tmp_path):
    held, alone = findings(ALL_WELL), findings(ALL_WELL[len(LAGS_MS) :])
    # A comparison of the guarded arm with itself: nothing went wrong, and nothing was there to show that it can.
    compared = replace(alone, scenarios=[replace(alone.scenarios[0], kind="comparison")])
    assert compared.exit_code == 0
    newer = NOON + timedelta(hours=1)
    for name, each in (
        ("held", held),
        ("alone", replace(alone, started_at=newer)),
        ("compared", replace(compared, started_at=newer)),
    ):
        (tmp_path / name).mkdir()
        store.write(each, tmp_path / name)
    assert store.newest_controls(tmp_path) == {SCENARIO.name: str(tmp_path / "held")}


def test_two_runs_are_compared_cell_by_cell():
    rows = differences(oversell(ALL_WELL), oversell(ALL_WELL[:3]))
    assert {name for name, *_ in rows} == {f"guard off, S = {lag} ms" for lag in LAGS_MS}
    assert ("guard off, S = 200 ms", "went wrong", 22, 22) in rows


def test_a_history_on_disk_is_one_line_per_operation(tmp_path):
    operations = buyer("r", "guarded", 1, NOON, 50, accepted=True, decided=NOON)
    append(tmp_path / "history.jsonl", operations[:1])
    append(tmp_path / "history.jsonl", operations[1:])
    assert read(tmp_path / "history.jsonl") == operations
