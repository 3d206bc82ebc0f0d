"""`loadtest run` and `loadtest report` as commands: what can be asked for, what is refused and how, what an interruption leaves."""

import asyncio
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec.structs import replace
from processes_about import processes_about

from loadtest.cli import cli
from loadtest.failures import CannotRunError
from loadtest.reports import store
from loadtest.run import Run
from loadtest.scenarios import SCENARIOS

THE_ONE_THAT_WAITS = Path(__file__).with_name("a_scenario_that_waits.py")


def asked(*words: str) -> None:
    result = CliRunner().invoke(cli, list(words))
    if isinstance(result.exception, CannotRunError):
        raise result.exception


def test_scenarios_have_different_names_and_numbers_and_know_their_control():
    numbers = [scenario.number for scenario in SCENARIOS.values()]
    assert numbers == sorted(set(numbers))
    for name, scenario in SCENARIOS.items():
        assert name == scenario.name
        guards = {arm.guard for arm in scenario.arms}
        expected = {"guard": [{"off", "on"}], "theory": [{"on"}], "comparison": [{"on"}]}
        assert guards in expected[scenario.kind], f"{name} has arms {guards}"
        assert scenario.judge([], scenario.plan).cells == []
        assert type(scenario.plan) is type(scenario.quick)


def test_the_list_names_every_scenario_and_its_claim():
    said = CliRunner().invoke(cli, ["list"]).output
    for name, scenario in SCENARIOS.items():
        assert name in said
        assert scenario.claim in said


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (("run", "overbook"), "see `loadtest list`"),
        (("run", "all", "overbook"), "see `loadtest list`"),
        (("run", "oversell", "--arm", "sleepy"), "leave out --arm"),
        (("run", "oversell", "--arm", "off", "--target", "http://127.0.0.1:9"), "leave out --arm"),
        (("report", "nowhere"), "--out"),
    ],
)
def test_a_mistake_is_one_sentence_with_its_remedy(words, remedy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CannotRunError, match=remedy):
        asked(*words)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_not_written_into(tmp_path):
    (tmp_path / "precious").write_text("history")
    with pytest.raises(CannotRunError, match="--out"):
        asked("run", "oversell", "--out", str(tmp_path))


def test_the_command_that_repeats_a_run_may_be_typed_as_it_is_said(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(
        "loadtest.cli.run.measured", lambda *_, reproduce, **__: said.append(reproduce)
    )
    monkeypatch.setattr("loadtest.cli.run.run_interruptible", lambda _: 0)
    arm = SCENARIOS["false_sold_out"].arms[0].name
    asked("run", "false_sold_out", "--arm", arm, "--seed", "7", "--out", str(tmp_path))
    assert [shlex.split(command) for command in said] == [
        ["loadtest", "run", "false_sold_out", "--seed", "7", "--arm", arm]
    ]
    assert " " in arm


class Told:
    """Who is told how far a run is, and keeps what was found."""

    def __init__(self) -> None:
        self.failures: list[str | None] = []

    def step(self, text: str) -> None:
        pass

    def cell(self, findings, cell) -> None:
        pass

    def scenario(self, findings) -> None:
        self.failures.append(findings.failure)


def a_run_of(out: Path, *names: str, failing: Sequence[Exception]) -> tuple[Run, Told]:
    """Scenarios in which several do something together, and fail at it."""

    async def one_of_them(error: Exception) -> None:
        raise error

    async def measure(lab, arm, plan) -> None:
        async with asyncio.TaskGroup() as together:
            for error in failing:
                together.create_task(one_of_them(error))

    scenarios = [replace(SCENARIOS["oversell"], name=name, measure=measure) for name in names]
    told = Told()
    return Run(scenarios, seed=7, out=out, reproduce="again", progress=told), told


async def test_what_several_cannot_do_together_is_one_sentence_and_the_next_scenario_begins(
    tmp_path,
):
    refused = [CannotRunError("It was refused."), CannotRunError("So was this.")]
    run, told = a_run_of(tmp_path, "first", "second", failing=refused)
    await run.run()
    assert told.failures == ["It was refused."] * 2
    run, _ = a_run_of(tmp_path, "first", failing=refused)
    with pytest.raises(CannotRunError, match="It was refused"):
        await run.run()


async def test_a_fault_of_the_laboratory_is_not_hidden_behind_a_refusal(tmp_path):
    failing = [CannotRunError("It was refused."), ZeroDivisionError()]
    run, _ = a_run_of(tmp_path, "first", "second", failing=failing)
    with pytest.raises(ExceptionGroup) as failed:
        await run.run()
    assert failed.group_contains(ZeroDivisionError)


async def test_ctrl_c_heals_all_faults_stops_all_processes_and_reports_what_was_measured(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "tmp").mkdir()
    run = await asyncio.create_subprocess_exec(
        *(sys.executable, str(THE_ONE_THAT_WAITS), str(tmp_path / "out")),
        env={
            "PATH": "/usr/bin:/bin",
            "TMPDIR": str(tmp_path / "tmp"),
            "PYTHONPATH": str(Path.cwd()),
        },
        stdout=asyncio.subprocess.PIPE,
    )
    assert run.stdout is not None
    async with asyncio.timeout(60):
        async for line in run.stdout:
            if b"waiting for ever" in line:
                break
        run.send_signal(signal.SIGINT)
        said = (await run.communicate())[0].decode()
    assert run.returncode == 130, said
    assert "INTERRUPTED" in said
    [findings] = store.read(tmp_path / "out").scenarios
    assert [cell.knob for cell in findings.cells] == [1, 2]
    assert not findings.complete
    assert (tmp_path / "out/report.html").exists()
    assert processes_about(tmp_path) == []
    assert list((tmp_path / "tmp").iterdir()) == []
