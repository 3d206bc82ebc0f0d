"""Findings as one self-contained page: works offline, asks the network for nothing, readable in light and dark and on paper."""

from datetime import timedelta
from html import escape
from pathlib import Path

from loadtest.findings import Findings, Row
from loadtest.reports.plot import Band, Dots, Line, Plot, svg
from loadtest.reports.text import caveats
from loadtest.verdict import Witness

_HERE = Path(__file__).parent
STYLE = (_HERE / "page.css").read_text(encoding="utf-8")
SCRIPT = (_HERE / "page.js").read_text(encoding="utf-8")

GUARD = {"unguarded": "off", "guarded": "on"}


def page(findings: Findings) -> str:
    """The whole page."""
    plan = findings.plan
    bad = "" if findings.exit_code == 0 else " bad"
    plots = (
        [_oversold(findings), _refused(findings), *_timelines(findings)] if findings.rows else []
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>{escape(findings.scenario)}: {escape(findings.claim)}</title><style>{STYLE}</style></head><body><main>
<h1>{escape(findings.claim)}</h1>
<p class="soft">{plan.capacity} units per sale, {plan.buyers_per_s:.0f} buyers a second arriving whether or not they are served. Each looks, thinks for about
{plan.think_ms:.0f} ms and books. What they are shown is S milliseconds old on purpose.</p>
<p class="verdict{bad}">{escape(findings.sentence)}</p>
<div class="plots">{"".join(plots)}</div>
<section><h2>Figures</h2>{_table(findings.rows)}{_notes(findings)}</section>
{_evidence(findings)}
<section><h2>How to read this</h2>
<p>When the last unit goes, λ·E[D] decisions are in flight on a view from before: λ buyers per second, D = S + Z from the moment the view was true to the decision,
Z being think and queue time. Without the guard each of them oversells one unit; with it each is refused. The guard does not remove the cost of staleness,
it turns oversells into refusals, one for one. D is measured around the sell-out, in database time; the grey band is three standard deviations of a mean of {plan.sales}; a row outside says that D was not steady.</p>
<p>Oversold counts come from the event log, not from answers, and only where log, answers and the slot at rest agree.</p></section>
<section><h2>This run</h2>{_about(findings)}</section>
</main><div id="tip" role="status"></div><script>{SCRIPT}</script></body></html>
"""


def _oversold(findings: Findings) -> str:
    rows = findings.of("unguarded")
    band, theory = _theory(rows)
    arms = [("off", rows), ("on", findings.of("guarded"))]
    marks: list[Line | Dots | Band] = [
        band,
        *(_through_means(arm, kind, "oversold") for kind, arm in arms),
        theory,
        *(_each_sale(arm, kind, "oversold") for kind, arm in arms),
        *(_means(arm, kind, "oversold") for kind, arm in arms),
    ]
    return _figure(
        "Units sold twice, by how late the view is",
        "Without the guard every decision in flight at the sell-out becomes an oversell. With it, none.",
        Plot(
            title="Units oversold per sale against injected staleness",
            x_label="S, injected staleness of the view (ms)",
            y_label="units oversold per sale",
            marks=marks,
            x_ticks=findings.plan.lags_ms,
            y_max=_tallest(findings),
        ),
        [("off", "guard off"), ("on", "guard on"), ("theory", "theory λ(S+Z)")],
    )


def _refused(findings: Findings) -> str:
    rows = findings.of("guarded")
    band, theory = _theory(rows)
    marks: list[Line | Dots | Band] = [
        band,
        _through_means(rows, "on", "refused"),
        theory,
        _each_sale(rows, "on", "refused"),
        _means(rows, "on", "refused"),
    ]
    return _figure(
        "The same cost, paid as refusals",
        "With the guard on, as many buyers are refused as would have been oversold: people who were shown units that were gone.",
        Plot(
            title="Buyers refused per sale against injected staleness, guard on",
            x_label="S, injected staleness of the view (ms)",
            y_label="buyers refused per sale",
            marks=marks,
            x_ticks=findings.plan.lags_ms,
            y_max=_tallest(findings),
        ),
        [("on", "refused, guard on"), ("theory", "theory λ(S+Z)")],
    )


def _timelines(findings: Findings) -> list[str]:
    """The first sale at the largest staleness, in both arms: what was left, and what people were shown."""
    figures = []
    for arm in ("unguarded", "guarded"):
        rows = [row for row in findings.rows if row.arm == arm and row.timeline.truth]
        if not rows:
            continue
        row, kind = rows[-1], GUARD[arm]
        truth = [(moment.at_ms, float(moment.remaining)) for moment in row.timeline.truth]
        shown = [(moment.at_ms, float(moment.remaining)) for moment in row.timeline.shown]
        ends_ms = max(x for x, _ in truth + shown)
        truth.append((ends_ms, truth[-1][1]))
        figures.append(
            _figure(
                f"One sale, guard {kind}, S = {row.injected_lag_ms} ms",
                "The view goes on showing units after the last one is gone"
                + (
                    ", and every one of them is sold."
                    if arm == "unguarded"
                    else "; who believes it is refused."
                ),
                Plot(
                    title=f"Units left and units shown over time, guard {kind}",
                    x_label="ms since the first booking",
                    y_label="units left",
                    marks=[
                        Line(kind="theory", points=shown, step=True),
                        Line(kind=kind, points=truth, step=True),
                    ],
                ),
                [(kind, "really left"), ("theory", "shown to buyers")],
            )
        )
    return figures


def _theory(rows: list[Row]) -> tuple[Band, Line]:
    edges = [
        (float(r.injected_lag_ms), max(0.0, r.expected - r.band), r.expected + r.band) for r in rows
    ]
    line = [(float(row.injected_lag_ms), row.expected) for row in rows]
    return Band(kind="theory", edges=edges), Line(kind="theory", points=line)


def _through_means(rows: list[Row], kind: str, what: str) -> Line:
    return Line(kind=kind, points=[(row.injected_lag_ms, getattr(row, what)) for row in rows])


def _means(rows: list[Row], kind: str, what: str) -> Dots:
    return Dots(
        kind=kind,
        points=[
            (
                row.injected_lag_ms,
                getattr(row, what),
                _tip(row, kind, what),
            )
            for row in rows
        ],
    )


def _tip(row: Row, kind: str, what: str) -> str:
    return (
        f"guard {kind}, S = {row.injected_lag_ms} ms\n"
        f"{what}: {getattr(row, what):.1f} (mean of {len(row.sales)})\n"
        f"theory: {row.expected:.1f} ± {row.band:.1f}\n"
        f"age shown p50 {row.age_p50_ms:.0f}, p99 {row.age_p99_ms:.0f} ms"
    )


def _each_sale(rows: list[Row], kind: str, what: str) -> Dots:
    return Dots(
        kind=f"one {kind}",
        radius=3.5,
        points=[
            (
                row.injected_lag_ms,
                getattr(sale, what),
                f"guard {kind}, S = {row.injected_lag_ms} ms, one sale\n{what}: {getattr(sale, what)}",
            )
            for row in rows
            for sale in row.sales
        ],
    )


def _tallest(findings: Findings) -> float:
    """Both plots of the cost share their scale, because they are the same quantity."""
    return max(max(row.oversold, row.refused, row.expected + row.band) for row in findings.rows)


def _figure(heading: str, caption: str, plot: Plot, keys: list[tuple[str, str]]) -> str:
    legend = "".join(f'<span><i class="{kind}"></i>{escape(name)}</span>' for kind, name in keys)
    return (
        f"<figure><h2>{escape(heading)}</h2><figcaption>{escape(caption)}</figcaption>"
        f'{svg(plot)}<div class="keys">{legend}</div></figure>'
    )


def _table(rows: list[Row]) -> str:
    headings = (
        "guard", "S ms", "accepted", "oversold", "theory λ(S+Z)", "refused", "fits theory",
        "age p50 ms", "age p99 ms", "Z ms", "booking p50 ms", "p99 ms", "bookings/s",
    )  # fmt: skip
    lines = []
    for number, row in enumerate(rows):
        first_of_arm = number > 0 and rows[number - 1].arm != row.arm
        cells = (
            f"{row.injected_lag_ms}",
            f"{row.accepted:.1f}",
            f"{row.oversold:.1f}",
            f"{row.expected:.1f} ± {row.band:.1f}",
            f"{row.refused:.1f}",
            "yes" if row.as_predicted else "no",
            f"{row.age_p50_ms:.0f}",
            f"{row.age_p99_ms:.0f}",
            f"{row.think_and_queue_ms:.0f}",
            f"{row.booking_p50_ms:.1f}",
            f"{row.booking_p99_ms:.1f}",
            f"{row.bookings_per_s:.0f}",
        )
        kind = GUARD[row.arm]
        lines.append(
            f'<tr{" class=next" if first_of_arm else ""}><td class="{kind}">{kind}</td>'
            + "".join(f"<td>{cell}</td>" for cell in cells)
            + "</tr>"
        )
    head = "".join(f"<th>{heading}</th>" for heading in headings)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def _notes(findings: Findings) -> str:
    return "".join(f'<p class="soft">{escape(caveat)}</p>' for caveat in caveats(findings))


def _evidence(findings: Findings) -> str:
    """The smallest witness of each arm that has one: a sentence about a person and a unit that was not there."""
    stories: list[tuple[str, str]] = []
    for row in findings.rows:
        witnesses = [witness for sale in row.sales for witness in sale.judgement.witnesses]
        if witnesses and all(kind != GUARD[row.arm] for kind, _ in stories):
            stories.append((GUARD[row.arm], witness_sentence(witnesses[0], row)))
    if not stories:
        return ""
    told = "".join(f"<p>Guard {kind}: {escape(story)}</p>" for kind, story in stories)
    return f"<section><h2>Smallest witness</h2>{told}</section>"


def witness_sentence(witness: Witness, row: Row) -> str:
    """Who did what, what was answered, and why that cannot be."""
    shown = "decided on what was shown"
    if witness.shown_remaining is not None and witness.shown_as_of is not None:
        ago_ms = (witness.decided_at - witness.shown_as_of) / timedelta(milliseconds=1)
        shown = f"decided on {witness.shown_remaining} units left, which was {ago_ms:.0f} ms ago"
    return (
        f"at S = {row.injected_lag_ms} ms a buyer {shown}; booking {witness.booking_id} "
        f"(position {witness.position}, version {witness.version} of the slot) was answered {witness.answered or 'nothing'} "
        f"and made it {witness.sold} units sold of {witness.limit}."
    )


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
    return f'<dl>{listed}</dl><p class="soft">Beside this page: result.json, history.jsonl, the event logs, the system\'s own logs.</p>'
