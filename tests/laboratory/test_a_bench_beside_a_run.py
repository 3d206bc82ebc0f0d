"""`loadtest report` on a bench: told and drawn again from its figures, and a section of the page of a run it is given beside."""

import pytest
from click.testing import CliRunner
from msgspec.structs import replace
from test_findings import on_disk

from loadtest.bench import store
from loadtest.bench.figures import Machine, Measured, Report, Turn, Wanted
from loadtest.bench.page import section
from loadtest.cli import cli

MEASURED = Measured(
    name="a_race",
    claim="the fast one is fast",
    wanted=[Wanted(says="fast enough", arm="fast", at_least=100)],
    turns=[Turn(arm="fast", seconds=3, answered=600, astray=0, per_second=200, clients=8)],
    broken=[],
)
BENCH = Report(
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
MISSED = replace(BENCH, measured=[replace(MEASURED, broken=["One booking is missing."])])


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    on_disk(folder)
    return folder


def reported(*folders):
    return CliRunner().invoke(cli, ["report", *map(str, folders)])


@pytest.mark.parametrize(
    ("bench", "verdict", "code"),
    [
        (BENCH, "everything holds", 0),
        (MISSED, "NOT EVERYTHING HOLDS", 1),
        (replace(BENCH, interrupted=True, not_measured=["b"]), "what was measured holds", 130),
    ],
)
def test_a_bench_on_disk_is_told_and_drawn_again(tmp_path, bench, verdict, code):
    page = store.write(bench, tmp_path)
    drawn = page.read_text()
    page.unlink()
    again = reported(tmp_path)
    assert again.exit_code == code
    assert verdict in again.output
    assert page.read_text() == drawn
    assert store.read(tmp_path) == bench


def test_a_bench_given_beside_a_run_is_a_section_of_the_runs_page(tmp_path, run):
    store.write(BENCH, tmp_path / "bench")
    assert reported(run).exit_code == 0
    assert "How fast, against what" not in (run / "report.html").read_text()
    said = reported(run, tmp_path / "bench")
    assert said.exit_code == 0
    assert section(BENCH) in (run / "report.html").read_text()
    assert section(BENCH) in (tmp_path / "bench/bench.html").read_text()
    assert "fast enough" in said.output


def test_a_bench_measured_into_the_folder_of_a_run_is_a_section_of_its_page(run):
    store.write(BENCH, run)
    assert reported(run).exit_code == 0
    assert section(BENCH) in (run / "report.html").read_text()


def test_of_a_run_and_a_bench_the_graver_exit_code_counts(tmp_path, run):
    store.write(MISSED, tmp_path / "bench")
    assert reported(run, tmp_path / "bench").exit_code == 1


def test_two_runs_are_compared_also_where_one_holds_a_bench(tmp_path, run):
    other = tmp_path / "other"
    other.mkdir()
    on_disk(other)
    store.write(BENCH, run)
    said = reported(run, other)
    assert said.exit_code == 0
    assert f"A: {run}" in said.output.replace("\n", "")


def test_a_bench_of_another_version_is_one_sentence_with_the_remedy(tmp_path):
    (tmp_path / store.RESULT).write_text('{"measured": 3}')
    assert "measure it again" in str(reported(tmp_path).exception)
