"""Two runs side by side: for every cell both have, each measure of the one beside that of the other, and where a verdict changed."""

from collections.abc import Sequence

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from loadtest.experiment.findings import Cell, Findings, ScenarioFindings
from loadtest.reports.text import where


def print_comparison(
    out: Console, before: Findings, after: Findings, *, names: Sequence[str]
) -> None:
    """Prints one table per scenario both runs have, and what only one has."""
    others = {scenario.name: scenario for scenario in after.scenarios}
    out.print(f"A: {names[0]} (seed {before.seed})\nB: {names[1]} (seed {after.seed})")
    for scenario in before.scenarios:
        other = others.pop(scenario.name, None)
        if other is None:
            out.print(f"\n{scenario.number}. {scenario.name}: only in A")
            continue
        _print_scenario(out, scenario, other)
    for other in others.values():
        out.print(f"\n{other.number}. {other.name}: only in B")


def _print_scenario(out: Console, a: ScenarioFindings, b: ScenarioFindings) -> None:
    changed = a.exit_code != b.exit_code
    out.print(f"\n[bold]{a.number}. {a.name}[/bold]", soft_wrap=True)
    if changed:
        out.print(f"A {a.sentence}\nB {b.sentence}", soft_wrap=True)
    table = Table(box=SIMPLE, pad_edge=False, collapse_padding=True)
    for heading in ("cell", "measure"):
        table.add_column(heading)
    for heading in ("A", "B", "B / A"):
        table.add_column(heading, justify="right")
    for name, measure, before, after in differences(a, b):
        ratio = f"{after / before:.2f}" if before else ""
        table.add_row(name, measure, f"{before:,.4g}", f"{after:,.4g}", ratio)
    out.print(table)


def differences(a: ScenarioFindings, b: ScenarioFindings) -> list[tuple[str, str, float, float]]:
    """(cell, measure, value in a, value in b) for what both have; the count of what went wrong comes first."""
    others: dict[tuple[str, object], Cell] = {(cell.arm, cell.knob): cell for cell in b.cells}
    rows: list[tuple[str, str, float, float]] = []
    for cell in a.cells:
        other = others.get((cell.arm, cell.knob))
        if other is None:
            continue
        name = where(a, cell)
        if cell.judgements or other.judgements:
            rows.append((name, "went wrong", cell.violations, other.violations))
        values = {measure.name: measure.value for measure in other.measures}
        rows += [(name, m.name, m.value, values[m.name]) for m in cell.measures if m.name in values]
    return rows
