"""What was found, as data; one shape for every scenario: cells (an arm at a setting of the knob), each with measures and judgements.

A measure may stand beside what theory expects and how far chance may take it. Verdicts, exit codes and sentences follow from the cells; reports
turn all of it into tables and pictures.
"""

from collections.abc import Sequence
from datetime import datetime
from statistics import fmean
from typing import Literal

from msgspec import Struct

from loadtest.evidence.trial import Generator, Knob
from loadtest.experiment.figures import Figure
from loadtest.verdict import (
    HOLDS,
    INTERRUPTED,
    INVALID_EXPERIMENT,
    VIOLATED,
    Judgement,
    Verdict,
    Witness,
)

Guard = Literal["off", "on"]
Kind = Literal["guard", "theory", "comparison", "soak"]

LATE_P99_MAX_MS = 10.0


class Measure(Struct, frozen=True, kw_only=True):
    """One quantity: the mean over the trials of a cell, and each of them; the unit is part of the name. A `detail` is for the page only."""

    name: str
    value: float
    each: list[float] = []
    digits: int = 0
    detail: bool = False


class Theory(Struct, frozen=True, kw_only=True):
    """What theory expects of the measure named `of`: `expected` ± `band`; `formula` is how it is written."""

    of: str
    formula: str
    expected: float
    band: float


class Cell(Struct, frozen=True, kw_only=True):
    """An arm at one setting of the knob. In a control's cell with `must_show` the anomaly has to appear."""

    arm: str
    guard: Guard
    knob: Knob
    measures: list[Measure]
    judgements: list[Judgement] = []
    theory: Theory | None = None
    must_show: bool = False
    generators: list[Generator] = []
    notes: list[str] = []

    def measured(self, name: str) -> float:
        """The value of a measure.

        Raises:
            KeyError: the cell has none of that name.
        """
        for measure in self.measures:
            if measure.name == name:
                return measure.value
        raise KeyError(name)

    @property
    def violations(self) -> int:
        """What certainly went wrong."""
        return sum(judgement.violations for judgement in self.judgements)

    @property
    def opportunities(self) -> int:
        """How often it could have gone wrong."""
        return sum(judgement.opportunities for judgement in self.judgements)

    @property
    def verdict(self) -> Verdict:
        """The worst of its judgements; valid without any."""
        verdicts = {judgement.verdict for judgement in self.judgements}
        return (
            "invalid" if "invalid" in verdicts else "unknown" if "unknown" in verdicts else "valid"
        )

    @property
    def as_predicted(self) -> bool | None:
        """Whether the measure lies in the band of its theory; None where there is none."""
        if self.theory is None:
            return None
        return abs(self.measured(self.theory.of) - self.theory.expected) <= self.theory.band

    @property
    def generator_was_late(self) -> bool:
        """Whether a generator lagged more than a load generator may (p99 above 10 ms)."""
        return any(each.late_p99_ms > LATE_P99_MAX_MS for each in self.generators)

    @property
    def smallest_witness(self) -> Witness | None:
        """The one that is easiest to understand."""
        witnesses = [w for judgement in self.judgements for w in judgement.witnesses]
        return min(witnesses, key=lambda witness: witness.size, default=None)


class Judged(Struct, frozen=True, kw_only=True):
    """What a scenario's `judge` returns: its cells in the order of the table, and its plots."""

    cells: list[Cell]
    figures: list[Figure] = []
    notes: list[str] = []


class ScenarioFindings(Struct, frozen=True, kw_only=True):
    """All that was found about one claim.

    `anomaly` completes the sentence "without the guard there were n …". Against somebody's deployment there is no control (`target`), and
    `control_elsewhere` names the newest embedded one; `left_out` says what HTTP alone does not allow.
    """

    name: str
    number: int
    claim: str
    fault: str
    anomaly: str
    knob: str
    kind: Kind
    cells: list[Cell]
    figures: list[Figure] = []
    notes: list[str] = []
    seconds: float = 0.0
    complete: bool = True
    target: bool = False
    left_out: str = ""
    control_elsewhere: str | None = None
    failure: str | None = None

    def of(self, guard: Guard) -> list[Cell]:
        """The cells with the guard off, or on."""
        return [cell for cell in self.cells if cell.guard == guard]

    @property
    def control_showed_it(self) -> bool:
        """Whether the arm without guard shows its anomaly wherever it must, and somewhere at all."""
        off = self.of("off")
        must = [cell for cell in off if cell.must_show]
        return all(c.verdict == "invalid" for c in must) and any(c.violations for c in off)

    @property
    def exit_code(self) -> int:  # noqa: PLR0911 -- the order of the questions is the rule
        """0 holds, 1 violated, 3 the experiment proves nothing, 130 interrupted."""
        guarded = [cell.verdict for cell in self.of("on")]
        if "invalid" in guarded:
            return VIOLATED
        if not self.complete:
            return INTERRUPTED
        if self.failure is not None:
            return INVALID_EXPERIMENT
        if self.kind == "comparison":
            return INVALID_EXPERIMENT if "unknown" in guarded else HOLDS
        if self.kind == "theory" and not self.target:
            return self._by_theory()
        if not guarded or "unknown" in guarded:
            return INVALID_EXPERIMENT
        alone = self.target or self.kind == "soak"
        return HOLDS if alone or self.control_showed_it else INVALID_EXPERIMENT

    def _by_theory(self) -> int:
        """A point outside its band convicts, unless the generator itself was late: then nothing can be said."""
        told = [cell for cell in self.cells if cell.theory is not None]
        outside = [cell for cell in told if not cell.as_predicted]
        if any(not cell.generator_was_late for cell in outside):
            return VIOLATED
        if not told or outside or any(cell.verdict == "unknown" for cell in self.cells):
            return INVALID_EXPERIMENT
        return HOLDS

    @property
    def sentence(self) -> str:  # noqa: PLR0911 -- one sentence per outcome, in the order of the exit codes
        """The verdict in one sentence."""
        on, off = self.of("on"), self.of("off")
        code = self.exit_code
        seen = sum(cell.violations for cell in on)
        if seen:
            return f"VIOLATED: with the guard on there were {seen} {self.anomaly}."
        if code == INTERRUPTED:
            return "INTERRUPTED: what was measured until then is shown."
        if self.failure is not None:
            return f"INVALID EXPERIMENT: it could not be carried out: {self.failure}"
        if self.kind == "comparison" and code == HOLDS:
            return "COMPARED: no verdict; the figures are the answer."
        if self.kind == "theory" and not self.target:
            return self._theory_sentence(code)
        if code == INVALID_EXPERIMENT:
            verdict = "UNKNOWN (no control here)" if self.target else "INVALID EXPERIMENT"
            return f"{verdict}: {self._why_invalid()}"
        bound = rate_bound(sum(cell.opportunities for cell in on))
        n = sum(cell.opportunities for cell in on)
        if self.kind == "soak":
            return f"HOLDS: no {self.anomaly} in {n:,} opportunities ({bound})."
        if self.target:
            where = f" (control: {self.control_elsewhere})" if self.control_elsewhere else ""
            return f"VALID (no control here){where}: no {self.anomaly} in {n:,} opportunities ({bound})."
        worst = max(off, key=lambda cell: cell.violations)
        return (
            f"HOLDS: without the guard up to {worst.violations:,} {self.anomaly}; "
            f"with it none, in {n:,} opportunities ({bound})."
        )

    def _why_invalid(self) -> str:
        on, off = self.of("on"), self.of("off")
        if off and not on:
            return "only the control was tried, which says nothing about the guard."
        if any(cell.verdict == "unknown" for cell in on) or not on:
            return "the evidence has a hole where nothing may go wrong; see the reasons."
        if not off:
            return "the control was not tried, so the guard proved nothing."
        return (
            "without the guard the anomaly did not show where it must, so the guard proved nothing."
        )

    def _theory_sentence(self, code: int) -> str:
        if code == INVALID_EXPERIMENT:
            return (
                "INVALID EXPERIMENT: there is not enough to hold against the theory; see the notes."
            )
        outside = [str(cell.knob) for cell in self.cells if cell.as_predicted is False]
        if outside:
            return f"VIOLATED: the measurement leaves the band of its theory at {self.knob} = {', '.join(outside)}."
        return "HOLDS: every measured point lies in the band of its theory."


class Findings(Struct, frozen=True, kw_only=True):
    """A whole run. `complete` is false when it was interrupted."""

    seed: int
    started_at: datetime
    seconds: float
    complete: bool
    reproduce: str
    environment: dict[str, str]
    scenarios: list[ScenarioFindings]

    @property
    def exit_code(self) -> int:
        """The gravest of its scenarios': a violated guard is news in any case."""
        codes = {scenario.exit_code for scenario in self.scenarios}
        if VIOLATED in codes:
            return VIOLATED
        if not self.complete or INTERRUPTED in codes:
            return INTERRUPTED
        return INVALID_EXPERIMENT if codes - {HOLDS} or not codes else HOLDS


def mean_of(name: str, each: Sequence[float], *, digits: int = 0, detail: bool = False) -> Measure:
    """A measure as the mean over trials; 0 without any."""
    mean = fmean(each) if each else 0.0
    return Measure(name=name, value=mean, each=list(each), digits=digits, detail=detail)


def rate_bound(opportunities: int) -> str:
    """Zero seen in n: what can be said of the rate, by the rule of three (Hanley and Lippman-Hand, 1983)."""
    return f"rate below {3 / opportunities:.2g} at 95 %" if opportunities else "no bound"
