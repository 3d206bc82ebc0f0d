"""Where a scenario works: systems to attack, people with a seed, trials that are written down.

It promises that everything noted in a completed trial is on disk when the trial ends, that the same seed gives the same people in both arms, and
that nothing it started is left behind.
"""

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from secrets import randbits
from typing import Any, Protocol

from msgspec import Struct

from loadtest import history
from loadtest.driver import Offered
from loadtest.evidence.trial import Generator, Knob, Mark, Trial, append_trial
from loadtest.history import Operation
from loadtest.system import Beside, LogFile, System, deployed, embedded
from loadtest.system.inventory import Dice, dice


class Target(Struct, frozen=True, kw_only=True):
    """Somebody's deployment: its address, and the key to it, which is written nowhere."""

    url: str
    key: str | None = None


class Variant(Protocol):
    """What the laboratory needs of an arm."""

    @property
    def name(self) -> str:
        """Its name; also that of its data directory and its log."""

    @property
    def settings(self) -> Mapping[str, str]:
        """The environment that makes it what it is."""


class Progress(Protocol):
    """Who is told how far it is."""

    def step(self, text: str) -> None:
        """Something begins."""


class Recorder:
    """What is noted during one trial. `operations` may be appended to directly, by whoever is in a hurry."""

    def __init__(self, name: str, arm: str) -> None:
        self.name = name
        self.arm = arm
        self.operations: list[Operation] = []
        self.generators: list[Generator] = []
        self.facts: dict[str, Any] = {}
        self.marks: list[Mark] = []

    def add(self, operation: Operation) -> None:
        """Notes what somebody did."""
        self.operations.append(operation)

    def note(self, **facts: Any) -> None:
        """Notes what the history does not tell; anything JSON can carry."""
        self.facts.update(facts)

    def offered(self, offered: Offered) -> None:
        """Notes what a generator did."""
        self.generators.append(
            Generator(
                offered=offered.count,
                sent=offered.count - offered.dropped,
                dropped=offered.dropped,
                late_p99_ms=offered.percentile_ms(99),
                seconds=offered.seconds,
                cpu_s=offered.cpu_s,
            )
        )


class Laboratory:
    """One scenario's place of work: `folder` keeps what is measured, `scratch` is thrown away afterwards."""

    def __init__(
        self,
        *,
        seed: int,
        folder: Path,
        scratch: Path,
        progress: Progress,
        on_trial: Callable[[Trial], None] | None = None,
        target: Target | None = None,
    ) -> None:
        self.seed = seed
        self.folder = folder
        self.target = target
        # A deployment is met by new ids at every visit, whatever the seed.
        self._visit = randbits(128) if target is not None else 0
        self._scratch = scratch
        self._progress = progress
        self._on_trial = on_trial
        self._logs: dict[str, LogFile] = {}
        self._trials = 0

    def rng(self, *names: object) -> Dice:
        """Randomness that the same seed and names give again; leave the arm out, so that both arms meet the same people."""
        return dice(" ".join(str(name) for name in (self.seed, *names)), visit=self._visit)

    def step(self, text: str) -> None:
        """Says what begins now."""
        self._progress.step(text)

    @contextlib.asynccontextmanager
    async def system(
        self,
        arm: Variant,
        settings: Mapping[str, str] | None = None,
        *,
        parts: str | None = None,
        beside: Beside | None = None,
        data: str | None = None,
    ) -> AsyncIterator[System]:
        """A system with the settings of the arm and these; on leaving it has ended and every fault is healed.

        Args:
            arm: whose settings, and whose data directory.
            settings: more of them.
            parts: only these parts of `booking up`, for example "api,relay,queries".
            beside: starts what was left out with `system.part(…, until_ready=False)`, because `booking up` is ready only when it is there.
            data: another data directory than the arm's; the same name again goes on where it was.

        Raises:
            CannotRunError: it does not start.
        """
        name = data or arm.name
        log = self._logs.setdefault(name, LogFile(self.folder / f"events-{name}.jsonl"))
        if self.target is not None:
            async with deployed(self.target.url, key=self.target.key, log=log) as system:
                yield system
            return
        async with embedded(
            self._scratch / name,
            settings={**arm.settings, **(settings or {})},
            log=log,
            log_file=self.folder / f"system-{name}.log",
            parts=parts,
            beside=beside,
        ) as system:
            yield system

    @contextlib.asynccontextmanager
    async def trial(
        self,
        system: System,
        arm: Variant,
        knobs: Mapping[str, Knob],
        *,
        slot_ids: Sequence[str] = (),
        read_log: bool = True,
    ) -> AsyncIterator[Recorder]:
        """One trial: what is noted inside is on disk afterwards, with the log up to then, whether it was completed or not.

        Args:
            system: where it happens.
            arm: which variant it is.
            knobs: its settings; the first is the scenario's knob.
            slot_ids: what it is about: its record then has only events that concern these slots.
            read_log: false where the log is of no use as evidence.
        """
        self._trials += 1
        recorder = Recorder(f"{arm.name}-{self._trials}", arm.name)
        marks_before = len(system.faults.marks)
        log = system.log.path.name if read_log and system.reads_log else None
        began_ns = time.monotonic_ns()
        complete = False
        try:
            yield recorder
            ended_ns = time.monotonic_ns()
            if log is not None:
                await system.read_log()
            complete = True
        finally:
            file = self.folder / history.FILE
            since = history.size_of(file)
            history.append(file, recorder.operations)
            trial = Trial(
                name=recorder.name,
                arm=arm.name,
                knobs=dict(knobs),
                slot_ids=list(slot_ids),
                log=log,
                history_bytes=(since, history.size_of(file)),
                log_bytes=(system.log.since(slot_ids), history.size_of(system.log.path)),
                began_ns=began_ns,
                ended_ns=ended_ns if complete else time.monotonic_ns(),
                generators=recorder.generators,
                marks=[*recorder.marks, *system.faults.marks[marks_before:]],
                facts=recorder.facts,
                complete=complete,
            )
            append_trial(self.folder, trial)
        if self._on_trial is not None:
            self._on_trial(trial)
