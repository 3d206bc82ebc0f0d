"""Findings as one self-contained page: works offline, asks the network for nothing, readable in light and dark and on paper."""

from html import escape
from pathlib import Path

from loadtest.experiment.figures import Figure
from loadtest.experiment.findings import Cell, Findings, ScenarioFindings
from loadtest.reports.drawing import key, svg
from loadtest.reports.text import as_table, caveats, where
from loadtest.verdict import HOLDS

_HERE = Path(__file__).parent
STYLE = (_HERE / "page.css").read_text(encoding="utf-8")
SCRIPT = (_HERE / "page.js").read_text(encoding="utf-8")


def page(findings: Findings, *, beside: str = "") -> str:
    """The whole page, with sections about something else that is to be read beside it."""
    found = findings.scenarios
    one = found[0] if len(found) == 1 else None
    title = one.claim if one is not None else "What stale reads do, with each guard off and on"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>
<h1>{escape(title)}</h1>
{_interrupted(findings)}
{_grid(found)}
{"".join(_scenario(each, heading=one is None) for each in found)}
{beside}
<section><h2>How to read this</h2>
<p>Every guard is attacked with it off and with it on. A result counts only if the anomaly appears without the guard and never with it: green needs both.
Zero seen in n opportunities bounds the rate by 3/n at 95 %. A grey band is what chance may do to a measured point if the theory is right.</p>
<p>Verdicts come from the event log and the histories beside this page; <code>loadtest report</code> judges them again.</p></section>
<section><h2>This run</h2>{_about(findings)}</section>
</main><div id="tip" role="status"></div><script>{SCRIPT}</script></body></html>
"""


def _interrupted(findings: Findings) -> str:
    if findings.complete:
        return ""
    return '<p class="verdict bad">INTERRUPTED: what was measured until then is shown.</p>'


def _grid(found: list[ScenarioFindings]) -> str:
    """Scenario by guard off and on, with the counts at each setting of the knob; green only if off > 0 and on = 0."""
    rows = []
    for each in found:
        good = "good" if each.exit_code == HOLDS and each.kind != "comparison" else ""
        state = good or (
            "soft" if each.kind == "comparison" and each.exit_code == HOLDS else "wrong"
        )
        word = "compared" if state == "soft" else "holds" if good else _word(each)
        rows.append(
            f'<tr><td><a href="#s{each.number}">{each.number}. {escape(each.name)}</a></td>'
            f"<td>{_counts(each, 'off')}</td><td>{_counts(each, 'on')}</td>"
            f'<td class="{state}">{word}</td><td class="soft">{each.seconds:.0f} s</td></tr>'
        )
    return (
        '<section><h2>All at a glance</h2><div class="wide"><table class="glance"><thead><tr><th>scenario</th><th>guard off: went wrong</th>'
        "<th>guard on: went wrong</th><th>verdict</th><th>took</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div></section>"
    )


def _word(each: ScenarioFindings) -> str:
    return each.sentence.partition(":")[0].lower()


def _counts(each: ScenarioFindings, guard: str) -> str:
    cells = [cell for cell in each.cells if cell.guard == guard]
    if not cells:
        return '<span class="soft">–</span>'
    return " ".join(_count(each, cell) for cell in cells)


def _count(each: ScenarioFindings, cell: Cell) -> str:
    if cell.guard == "on":
        kind = "bad" if cell.violations else "unsure" if cell.verdict == "unknown" else "fine"
    else:
        kind = "shown" if cell.violations else "unsure" if cell.must_show else "none"
    n = f" of {cell.opportunities:,}" if cell.opportunities else ""
    tip = f"{where(each, cell)}\n{cell.violations:,}{n} {each.anomaly}"
    return (
        f'<span class="count {kind}" tabindex="0" data-tip="{escape(tip)}">{cell.violations:,}'
        f"<small>{escape(str(cell.knob))}</small></span>"
    )


def _scenario(each: ScenarioFindings, *, heading: bool) -> str:
    bad = "" if each.exit_code == HOLDS else " bad"
    head = f"<h1>{each.number}. {escape(each.claim)}</h1>" if heading else ""
    return f"""<section id="s{each.number}">{head}
<p class="soft">Scenario <b>{escape(each.name)}</b>. Fault: {escape(each.fault)}</p>
<p class="verdict{bad}">{escape(each.sentence)}</p>
<div class="plots">{"".join(_figure(figure) for figure in each.figures)}</div>
{_table(each)}{_notes(each)}{_evidence(each)}</section>"""


def _figure(figure: Figure) -> str:
    return (
        f"<figure><h2>{escape(figure.heading)}</h2><figcaption>{escape(figure.caption)}</figcaption>"
        f'{svg(figure)}<div class="keys">{key(figure.key)}</div></figure>'
    )


def _table(each: ScenarioFindings) -> str:
    headings, rows = as_table(each)
    lines = []
    for number, (row, cell) in enumerate(zip(rows, each.cells, strict=True)):
        first_of_arm = number > 0 and each.cells[number - 1].arm != cell.arm
        lines.append(
            f'<tr{" class=next" if first_of_arm else ""}><td class="{cell.guard}">{escape(row[0])}</td>'
            + "".join(f"<td>{escape(value)}</td>" for value in row[1:])
            + "</tr>"
        )
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def _notes(each: ScenarioFindings) -> str:
    return "".join(f'<p class="soft">{escape(caveat)}</p>' for caveat in caveats(each))


def _evidence(each: ScenarioFindings) -> str:
    """The smallest witness of each arm that has one: who did what, what was answered, why that cannot be."""
    told: dict[str, str] = {}
    for cell in each.cells:
        if cell.smallest_witness is not None and cell.arm not in told:
            told[cell.arm] = (
                f"<p><b>{escape(where(each, cell))}</b>: {escape(cell.smallest_witness.sentence)}.</p>"
            )
    return f"<h2>Smallest witness</h2>{''.join(told.values())}" if told else ""


def _about(findings: Findings) -> str:
    facts = {
        "again": findings.reproduce,
        "seed": str(findings.seed),
        "started": findings.started_at.isoformat(timespec="seconds"),
        "took": f"{findings.seconds:.0f} s",
        **findings.environment,
    }
    listed = "".join(
        f"<dt>{escape(name)}</dt><dd>{f'<code>{escape(value)}</code>' if name == 'again' else escape(value)}</dd>"
        for name, value in facts.items()
    )
    return f'<dl>{listed}</dl><p class="soft">Beside this page: result.json, summary.txt, and of each scenario its history, trials, event logs and the system\'s own logs.</p>'
