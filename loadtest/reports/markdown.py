"""Findings as a page of Markdown with its plots beside it: for a repository or a wiki, where no page of HTML is shown.

The plots are the report's own, each an SVG file that carries its colours with it, for light and dark paper.
"""

from pathlib import Path

from loadtest.experiment.figures import Figure
from loadtest.experiment.findings import Cell, Findings, ScenarioFindings
from loadtest.reports.drawing import svg
from loadtest.reports.text import as_table, caveats

CSS = Path(__file__).with_name("page.css")
DRAWN = (":root", "@media(prefers", "svg text", ".grid", ".line", ".band", ".dot", ".span", ".hit")
TOLD = ("version", "python", "processor")
COLOURS = {
    "off": "red",
    "on": "blue",
    "theory": "grey, dashed",
    "a": "blue",
    "b": "red",
    "c": "green",
    "d": "brown",
    "shown": "grey, dotted",
}


def write_markdown(findings: Findings, page: Path) -> Path:
    """Writes the page, and its plots into a folder of the same name; returns the page's path."""
    folder = page.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.svg"):
        old.unlink()
    parts = [_head(findings), _grid(findings)]
    parts += [_scenario(scenario, folder) for scenario in findings.scenarios]
    page.write_text("\n".join(parts), encoding="utf-8")
    return page


def _head(findings: Findings) -> str:
    environment = "; ".join(
        f"{name} {findings.environment[name]}" for name in TOLD if name in findings.environment
    )
    return f"""# Results

What the laboratory found in one run of {findings.started_at:%Y-%m-%d}, {findings.seconds / 60:.0f} minutes long, seed {findings.seed}. How it
works and judges: [laboratory.md](laboratory.md). Again: `{findings.reproduce}`.

{environment}.
"""


def _grid(findings: Findings) -> str:
    rows = [
        f"| {each.number} | [{each.name}](#{each.number}-{each.name}) | {_counts(each, 'off')} | {_counts(each, 'on')} | {each.sentence.partition(':')[0].lower()} |"
        for each in findings.scenarios
    ]
    return "\n".join(
        [
            "| # | scenario | guard off | guard on | verdict |",
            "|---|---|---|---|---|",
            *rows,
            "",
            "Numbers are what went wrong and, after the stroke, in how many opportunities.",
            "",
        ]
    )


def _counts(each: ScenarioFindings, guard: str) -> str:
    cells: list[Cell] = [c for c in each.cells if c.guard == guard and c.judgements]
    if not cells:
        return "–"
    return f"{sum(c.violations for c in cells):,} / {sum(c.opportunities for c in cells):,}"


def _scenario(each: ScenarioFindings, folder: Path) -> str:
    headings, rows = as_table(each)
    table = [f"| {' | '.join(headings)} |", f"|{'---|' * len(headings)}"]
    table += [f"| {' | '.join(row)} |" for row in rows]
    witness = next((c.smallest_witness for c in each.of("off") if c.smallest_witness), None)
    parts = [
        f"## {each.number} {each.name}\n",
        f"{each.claim} *{each.fault}*\n",
        f"**{each.sentence}** `loadtest run {each.name}`\n",
        *(_plot(figure, n, each, folder) for n, figure in enumerate(each.figures, 1)),
        *table,
        "",
        *(f"* {caveat}" for caveat in caveats(each)),
        "" if not caveats(each) else "\n",
    ]
    if witness is not None:
        parts.append(f"Without the guard, for example: {witness.sentence}.\n")
    return "\n".join(parts)


def _plot(figure: Figure, number: int, each: ScenarioFindings, folder: Path) -> str:
    name = f"{each.name}-{number}.svg"
    (folder / name).write_text(_standing_alone(figure), encoding="utf-8")
    key = ", ".join(f"{COLOURS.get(kind, kind)}: {label}" for kind, label in figure.key)
    said = f"{figure.caption} ({key}.)" if key else figure.caption
    return f"**{figure.heading}.** {said}\n\n![{figure.heading}]({folder.name}/{name})\n"


def _standing_alone(figure: Figure) -> str:
    """The plot as a file of its own: with a namespace, its colours and a paper."""
    rules = [line for line in CSS.read_text().splitlines() if line.startswith(DRAWN)]
    style = f"<style>{''.join(rules)}svg{{background:var(--paper);font-family:system-ui,sans-serif}}</style>"
    drawn = svg(figure).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    head, _, rest = drawn.partition(">")
    return f"{head}>{style}{rest}"
