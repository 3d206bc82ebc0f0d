"""Findings for the terminal: a table and a verdict per scenario. Progress lives here, too: one growing line on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Sequence

from rich.box import SIMPLE
from rich.console import Console
from rich.status import Status
from rich.table import Table

from loadtest.experiment.findings import (
    LATE_P99_MAX_MS,
    Cell,
    Findings,
    Measure,
    ScenarioFindings,
    Theory,
)

PLAIN_WIDTH = 100


def console() -> Console:
    """Standard output, wide enough for the table when it is no terminal."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH)


class PlainProgress:
    """A line per step, with the seconds since the beginning; for logs and pipes."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._began_s = time.monotonic()

    def step(self, text: str) -> None:
        """Something begins."""
        self._say(text)

    def cell(self, findings: ScenarioFindings, cell: Cell) -> None:
        """One arm at one setting of the knob is done."""
        self._say(sentence(findings, cell))

    def scenario(self, findings: ScenarioFindings) -> None:
        """A scenario is done."""
        self._say(f"{findings.number}. {findings.name}: {findings.sentence}")

    def close(self) -> None:
        """Nothing is left open."""

    def _say(self, text: str) -> None:
        self._out.print(f"{time.monotonic() - self._began_s:5.1f} s  {text}", soft_wrap=True)
        self._out.file.flush()


class LiveProgress:
    """What is going on in one line that changes; what is done stays above it."""

    def __init__(self, out: Console) -> None:
        self._out = out
        # Redrawn seldom: the thread that draws shares its processor with the generator.
        self._status = Status("", console=out, refresh_per_second=4)
        self._status.start()

    def step(self, text: str) -> None:
        """Something begins."""
        self._status.update(text)

    def cell(self, findings: ScenarioFindings, cell: Cell) -> None:
        """One arm at one setting of the knob is done."""
        self._out.print(f"  {sentence(findings, cell)}")

    def scenario(self, findings: ScenarioFindings) -> None:
        """A scenario is done."""
        self._out.print(f"[bold]{findings.number}. {findings.name}[/bold]: {findings.sentence}")

    def close(self) -> None:
        """Takes the changing line away."""
        self._status.stop()


def where(findings: ScenarioFindings, cell: Cell) -> str:
    """An arm and its setting in words."""
    arm = f"guard {cell.guard}"
    if len({c.arm for c in findings.of(cell.guard)}) > 1:
        arm = f"{cell.arm} (guard {cell.guard})"
    if not findings.knob:
        return arm
    # The unit is the last word of the knob's name.
    name, _, unit = findings.knob.rpartition(" ")
    return f"{arm}, {name} = {cell.knob} {unit}" if name else f"{arm}, {unit} = {cell.knob}"


def sentence(findings: ScenarioFindings, cell: Cell) -> str:
    """A cell in words."""
    said = [f"{m.name} {number(m)}" for m in cell.measures[:3]]
    if cell.judgements:
        said.insert(
            0, f"{cell.violations:,} {findings.anomaly} in {cell.opportunities:,} opportunities"
        )
    if cell.theory is not None:
        theory = cell.theory
        said.append(f"theory of {theory.of}: {expectation(theory)}")
    return f"{where(findings, cell)}: {'; '.join(said)}"


def expectation(theory: Theory) -> str:
    """What theory says, no more precise than its band."""
    digits = 0 if theory.band >= 1 else 1 if theory.band >= 0.1 else 3
    return f"{theory.expected:,.{digits}f} ± {theory.band:,.{digits}f}"


def number(measure: Measure) -> str:
    """A value as precise as it deserves."""
    return f"{measure.value:,.{measure.digits}f}"


def print_findings(out: Console, findings: Findings) -> None:
    """Each scenario's table, what cannot be told and why, and the verdicts."""
    for scenario in findings.scenarios:
        print_scenario(out, scenario)
    if len(findings.scenarios) > 1:
        out.print()
        for scenario in findings.scenarios:
            out.print(f"{scenario.number:3} {scenario.name:24} {scenario.sentence}", soft_wrap=True)


def print_scenario(out: Console, findings: ScenarioFindings) -> None:
    """The table, what cannot be told and why, and the verdict."""
    title = f"{findings.number}. {findings.name}: {findings.claim}"
    if findings.cells:
        out.print(_table(findings, title))
    else:
        out.print(title, soft_wrap=True)
    for caveat in caveats(findings):
        out.print(f"note: {caveat}", soft_wrap=True)
    witness = next((c.smallest_witness for c in findings.of("on") if c.smallest_witness), None)
    if witness is not None:
        out.print(f"smallest witness: {witness.sentence}", soft_wrap=True)
    out.print(f"[bold]{findings.sentence}[/bold]", soft_wrap=True)


def _table(findings: ScenarioFindings, title: str) -> Table:
    table = Table(
        box=SIMPLE,
        pad_edge=False,
        collapse_padding=True,
        title=title,
        title_justify="left",
    )
    headings, rows = as_table(findings, details=False)
    table.add_column(headings[0], no_wrap=True)
    for heading in headings[1:]:
        # Words of a heading may stand below each other, figures may not be torn.
        table.add_column(heading.replace(" ", "\n"), justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def as_table(
    findings: ScenarioFindings, *, details: bool = True
) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: arm, knob, violations where they are judged, measures (with or without details), and theory where there is one."""
    guards = {cell.guard for cell in findings.cells}
    one_each = all(len({c.arm for c in findings.of(g)}) <= 1 for g in guards)
    judged = any(cell.judgements for cell in findings.cells)
    formula = next((c.theory.formula for c in findings.cells if c.theory is not None), None)
    measures = [m for cell in findings.cells for m in cell.measures if details or not m.detail]
    names = list(dict.fromkeys(measure.name for measure in measures))
    headings = ["guard" if one_each else "arm"]
    headings += [findings.knob] if findings.knob else []
    headings += ["wrong", "of"] if judged else []
    headings += names
    headings += [f"theory {formula}", "fits"] if formula else []
    rows = []
    for cell in findings.cells:
        row = [cell.guard if one_each else cell.arm]
        row += [str(cell.knob)] if findings.knob else []
        row += [f"{cell.violations:,}", f"{cell.opportunities:,}"] if judged else []
        row += [_value(cell.measures, name) for name in names]
        if formula:
            theory = cell.theory
            fits = {True: "yes", False: "no", None: ""}[cell.as_predicted]
            row += [expectation(theory) if theory else "", fits]
        rows.append(row)
    return headings, rows


def _value(measures: Sequence[Measure], name: str) -> str:
    return next((number(measure) for measure in measures if measure.name == name), "")


def caveats(findings: ScenarioFindings) -> list[str]:
    """Whatever a reader should know before believing the figures."""
    said: list[str] = list(findings.notes)
    if findings.target and findings.left_out:
        said.append(f"against a deployment: {findings.left_out}")
    for cell in findings.cells:
        here = where(findings, cell)
        late_ms = max((generator.late_p99_ms for generator in cell.generators), default=0.0)
        if late_ms > LATE_P99_MAX_MS:
            said.append(f"{here}: the generator itself was late (p99 {late_ms:.0f} ms)")
        if cell.as_predicted is False:
            said.append(f"{here}: outside the band of its theory")
        if dropped := sum(generator.dropped for generator in cell.generators):
            said.append(f"{here}: {dropped} people were dropped by the generator")
        said += [f"{here}: {note}" for note in cell.notes]
        reasons = {j.reason for j in cell.judgements if j.verdict == "unknown"} - {None}
        said += [f"{here}: cannot be judged: {reason}" for reason in sorted(map(str, reasons))]
    return said
