"""A run of the bench as one self-contained page, and as a section for pages that hold more: promises first, then every arm of every measurement."""

from html import escape

from loadtest.bench.figures import Measured, Report, Turn
from loadtest.bench.words import (
    KEPT,
    cpu,
    flushes,
    left_out,
    machine,
    number,
    promise,
    rate,
    verdict,
)
from loadtest.reports.html import STYLE

TITLE = "How fast, against what"
_KIND = {True: "on", False: "off", None: ""}


def page(report: Report) -> str:
    """The whole page."""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{TITLE}</title><style>{STYLE}</style></head><body><main>
{section(report)}
</main></body></html>
"""


def section(report: Report) -> str:
    """All of a bench, for a page of its own and for one that holds more."""
    bad = "" if report.holds else " bad"
    told = [verdict(report), *left_out(report)]
    sentences = " ".join(f"{sentence.capitalize()}." for sentence in told)
    about = {
        "again": report.command,
        "started": report.started_at,
        "took": f"{report.took_s:.0f} s",
        "machine": machine(report.machine),
        "flushes": flushes(report),
    }
    listed = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in about.items())
    return f"""<section><h1>{TITLE}</h1>
<p class="verdict{bad}">{escape(sentences)}</p></section>
<section><h2>Promised and measured</h2>{_promises(report)}{_objections(report)}
<p class="soft">A figure is the median of its turns, with the lowest and the highest beside it; a ratio that of two medians, with the range of neighbouring turns, or of the extremes
where one arm took more turns. All systems of a measurement ran from before its first turn to after its last, Postgres with fsync and synchronous_commit on. CPU is per answer; the generator shares the cores with what it measures.</p></section>
{"".join(_measured(one) for one in report.measured)}
<section><h2>This bench</h2><dl>{listed}</dl></section>"""


def _promises(report: Report) -> str:
    rows = []
    for one in report.measured:
        for place, found in enumerate(one.findings):
            name, says, wanted, value, _ = promise(found, one)
            holds = found.holds if not one.broken else False
            rows.append(
                f"<tr{' class=next' if place == 0 else ''}><td>{escape(name)}</td><td>{escape(says)}</td><td>{escape(wanted)}</td>"
                f'<td>{escape(value)}</td><td class="{_KIND[holds]}">{KEPT[holds]}</td></tr>'
            )
    return _table(("measurement", "promise", "wanted", "measured", ""), rows)


def _objections(report: Report) -> str:
    return "".join(
        f"<p>{escape(one.name)}: {escape(objection)}</p>"
        for one in report.measured
        for objection in one.objections
    )


def _measured(one: Measured) -> str:
    notes = "".join(f'<p class="soft">{escape(note)}</p>' for note in one.notes)
    rows = [_arm(one, arm) for arm in one.arms]
    headings = ("arm", "per second", "clients", "p50 ms", "p99 ms", "more", "CPU µs each", "turns")
    return f"<section><h2>{escape(one.name)}</h2><p>{escape(one.claim)}</p>{_table(headings, rows)}{notes}</section>"


def _arm(one: Measured, arm: str) -> str:
    turns = one.of(arm)
    more = ", ".join(
        f"{name.replace('_', ' ')} {number(one.figures(arm, name).median)}"
        for name in turns[0].more
    )
    used = ", ".join(f"{part} {us:.0f}" for part, us in cpu(one, arm).items())
    cells = (
        arm,
        rate(one.figures(arm)),
        str(turns[0].clients),
        _median_ms(turns, "p50_ms"),
        _median_ms(turns, "p99_ms"),
        more,
        used,
        f"{len(turns)} of {round(turns[0].seconds, 1):g} s",
    )
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


def _median_ms(turns: list[Turn], figure: str) -> str:
    told = sorted(value for turn in turns if (value := getattr(turn, figure)) is not None)
    return f"{told[len(told) // 2]:.1f}" if told else ""


def _table(headings: tuple[str, ...], rows: list[str]) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
