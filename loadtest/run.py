"""Runs scenarios one after the other and says what was found; what an interruption leaves is judged and reported, too.

A run is a folder: `run.json` says what was asked, each scenario has a folder of its own with its evidence, and findings can be made from that
again at any time (`findings_of`), with the checkers of today.
"""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from loadtest.evidence.trial import PLAN, Knob, OneByOne, Trial, read_records, read_trials
from loadtest.experiment.asked import RUN, Asked, environment, read_asked
from loadtest.experiment.findings import Cell, Findings, ScenarioFindings
from loadtest.experiment.laboratory import Laboratory, Target
from loadtest.experiment.scenario import Arm, Scenario
from loadtest.failures import CannotRunError
from loadtest.scenarios import SCENARIOS
from loadtest.soak import SOAK

FACTS = "scenario.json"


class Progress(Protocol):
    """Who is told how far it is."""

    def step(self, text: str) -> None:
        """Something begins."""

    def cell(self, findings: ScenarioFindings, cell: Cell) -> None:
        """One arm at one setting of the knob is done."""

    def scenario(self, findings: ScenarioFindings) -> None:
        """A scenario is done."""


class _Facts(Struct, frozen=True, kw_only=True):
    """How it went with one scenario, beside its trials; `scenario.json`."""

    name: str
    seconds: float
    complete: bool
    failure: str | None = None


class Run:
    """One run. `run` measures, `findings` says what was found so far, also after an interruption."""

    def __init__(
        self,
        scenarios: Sequence[Scenario],
        *,
        seed: int,
        out: Path,
        reproduce: str,
        progress: Progress,
        quick: bool = False,
        arm: str | None = None,
        plan: Any = None,
        target: Target | None = None,
        controls: Mapping[str, str] | None = None,
    ) -> None:
        self._scenarios = scenarios
        self._out = out
        self._progress = progress
        self._quick = quick
        self._only_arm = arm
        self._plan = plan
        self._target = target
        self._began_s = time.monotonic()
        self._asked = Asked(
            seed=seed,
            started_at=datetime.now(UTC),
            reproduce=reproduce,
            environment=environment(),
            scenarios=[scenario.name for scenario in scenarios],
            target=target.url if target is not None else None,
            controls=dict(controls or {}),
        )

    async def run(self) -> None:
        """All scenarios; one that cannot be carried out is noted, and the next one begins.

        Raises:
            CannotRunError: the only scenario there is cannot be carried out.
        """
        self._write()
        scratch = Path(tempfile.mkdtemp(prefix="loadtest-"))
        try:
            for scenario in self._scenarios:
                await self._one(scenario, scratch / scenario.name)
            self._asked = msgspec.structs.replace(self._asked, complete=True)
        finally:
            self._asked = msgspec.structs.replace(
                self._asked, seconds=time.monotonic() - self._began_s
            )
            self._write()
            shutil.rmtree(scratch, ignore_errors=True)

    def findings(self) -> Findings:
        """What is known by now."""
        return findings_of(self._out)

    async def _one(self, scenario: Scenario, scratch: Path) -> None:
        folder = self._out / scenario.name
        folder.mkdir(parents=True, exist_ok=True)
        plan = self._plan or (scenario.quick if self._quick else scenario.plan)
        (folder / PLAN).write_bytes(msgspec.json.encode(plan))
        teller = _Teller(scenario, plan, folder, self._progress)
        lab = Laboratory(
            seed=self._asked.seed,
            folder=folder,
            scratch=scratch,
            progress=self._progress,
            on_trial=teller.trial_done,
            target=self._target,
        )
        scratch.mkdir(parents=True)  # noqa: ASYNC240 -- once, before anything is measured
        began_s = time.monotonic()
        complete, failure = False, None
        try:
            for arm in self._arms(scenario):
                with _one_reason():
                    await scenario.measure(lab, arm, plan)
                teller.tell()
            complete = True
        except CannotRunError as error:
            if len(self._scenarios) == 1:
                raise
            failure, complete = str(error), True
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            facts = _Facts(
                name=scenario.name,
                seconds=time.monotonic() - began_s,
                complete=complete,
                failure=failure,
            )
            (folder / FACTS).write_bytes(msgspec.json.encode(facts))
        self._progress.scenario(scenario_findings(scenario, folder, self._asked))

    def _arms(self, scenario: Scenario) -> list[Arm]:
        arms = [a for a in scenario.arms if self._only_arm in (None, a.name, a.guard)]
        return arms if self._target is None else [arm for arm in arms if arm.guard == "on"]

    def _write(self) -> None:
        (self._out / RUN).write_bytes(
            msgspec.json.format(msgspec.json.encode(self._asked), indent=1)
        )


@contextlib.contextmanager
def _one_reason() -> Iterator[None]:
    """Those who work together fail as a group; where they only say why it cannot be done, the first of them speaks for all.

    Anything else is a fault, to be read in full.

    Raises:
        CannotRunError: what is inside cannot be carried out.
    """
    try:
        yield
    except ExceptionGroup as failed:
        _, faults = failed.split(CannotRunError)
        if faults is not None:
            raise
        first: Exception = failed
        while isinstance(first, ExceptionGroup):
            first = first.exceptions[0]
        raise first from None


class _Teller:
    """Tells each cell once, as soon as its trials are over: when a trial with another setting was made, or the arm is done.

    What was told is not read again, so the hundredth period of a soak costs what the first did.
    """

    def __init__(self, scenario: Scenario, plan: Any, folder: Path, progress: Progress) -> None:
        self._scenario = scenario
        self._plan = plan
        self._folder = folder
        self._progress = progress
        self._setting: tuple[str, Knob | None] | None = None
        self._trials: list[str] = []
        self._cells: list[Cell] = []

    def trial_done(self, trial: Trial) -> None:
        """A trial has been written down."""
        # The first knob is the scenario's.
        setting = (trial.arm, next(iter(trial.knobs.values()), None))
        if setting != self._setting:
            self.tell()
        self._setting = setting
        self._trials.append(trial.name)

    def tell(self) -> None:
        """Judges the trials that were not told yet."""
        if self._trials:
            records = read_records(self._folder, only=self._trials)
            cells = self._scenario.judge(records, self._plan).cells
            self._cells += cells
            findings = _findings(self._scenario, self._cells)
            for cell in cells:
                self._progress.cell(findings, cell)
            self._trials.clear()


def findings_of(out: Path) -> Findings:
    """The findings of a run on disk, judged anew.

    Raises:
        CannotRunError: there is no run of this version.
    """
    asked = read_asked(out)
    known = {**SCENARIOS, SOAK.name: SOAK}
    found = [
        scenario_findings(known[name], out / name, asked)
        for name in asked.scenarios
        if name in known and (out / name / PLAN).exists()
    ]
    return Findings(
        seed=asked.seed,
        started_at=asked.started_at,
        seconds=asked.seconds,
        complete=asked.complete,
        reproduce=asked.reproduce,
        environment=asked.environment | ({"target": asked.target} if asked.target else {}),
        scenarios=found,
    )


def scenario_findings(scenario: Scenario, folder: Path, asked: Asked) -> ScenarioFindings:
    """The findings of one scenario's folder, judged anew."""
    plan = msgspec.json.decode((folder / PLAN).read_bytes(), type=type(scenario.plan))
    facts = _Facts(name=scenario.name, seconds=0.0, complete=False)
    with contextlib.suppress(OSError):
        facts = msgspec.json.decode((folder / FACTS).read_bytes(), type=_Facts)
    # A soak may be of hours, and judges each period by itself; what all of it was does not fit into memory.
    records = OneByOne(folder) if scenario.kind == "soak" else read_records(folder)
    judged = scenario.judge(records, plan)
    notes = list(judged.notes)
    if asked.target is not None and any(trial.log is None for trial in read_trials(folder)):
        notes.append("the key may not read the log (scope operate), so what needs it is unknown")
    return msgspec.structs.replace(
        _findings(scenario, judged.cells),
        figures=judged.figures,
        notes=notes,
        seconds=facts.seconds,
        complete=facts.complete,
        failure=facts.failure,
        target=asked.target is not None,
        left_out=scenario.left_out,
        control_elsewhere=asked.controls.get(scenario.name),
    )


def _findings(scenario: Scenario, cells: list[Cell]) -> ScenarioFindings:
    return ScenarioFindings(
        name=scenario.name,
        number=scenario.number,
        claim=scenario.claim,
        fault=scenario.fault,
        anomaly=scenario.anomaly,
        knob=scenario.knob,
        kind=scenario.kind,
        cells=cells,
    )
