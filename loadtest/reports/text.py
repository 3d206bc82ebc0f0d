"""Findings for the terminal: the table and the verdict. Progress lives here, too: one growing line on a terminal, plain lines elsewhere."""

import sys
import time

from rich.box import SIMPLE
from rich.console import Console
from rich.status import Status
from rich.table import Table

from loadtest.findings import Findings, Row

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

    def row(self, row: Row) -> None:
        """One arm at one staleness is done."""
        self._say(sentence(row))

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

    def row(self, row: Row) -> None:
        """One arm at one staleness is done."""
        self._out.print(f"  {sentence(row)}")

    def close(self) -> None:
        """Takes the changing line away."""
        self._status.stop()


def sentence(row: Row) -> str:
    """A row in words."""
    where = f"S = {row.injected_lag_ms} ms"
    theory = f"theory {row.expected:.0f} ± {row.band:.0f}"
    if row.arm == "unguarded":
        return f"guard off, {where}: {row.oversold:.1f} units sold twice ({theory})"
    return f"guard on,  {where}: {row.oversold:.0f} sold twice, {row.refused:.1f} refused instead ({theory})"


def print_findings(out: Console, findings: Findings) -> None:
    """The table, what cannot be told and why, and the verdict."""
    plan = findings.plan
    table = Table(
        box=SIMPLE,
        pad_edge=False,
        collapse_padding=True,
        title=f"{findings.scenario}: {plan.capacity} units, {plan.buyers_per_s:.0f} buyers/s, {_sales(plan.sales)}",
        title_justify="left",
    )
    table.add_column("guard")
    for heading in ("S ms", "accepted", "oversold", "theory\nλ(S+Z)", "refused"):
        table.add_column(heading, justify="right")
    for heading in ("age ms\np50/p99", "bookings\nper s", "fits\ntheory"):
        table.add_column(heading, justify="right")
    for row in findings.rows:
        table.add_row(
            "off" if row.arm == "unguarded" else "on",
            str(row.injected_lag_ms),
            f"{row.accepted:.1f}",
            f"[red]{row.oversold:.1f}[/red]" if row.oversold else "[green]0[/green]",
            f"{row.expected:.0f} ± {row.band:.0f}",
            f"{row.refused:.1f}",
            f"{row.age_p50_ms:.0f}/{row.age_p99_ms:.0f}",
            f"{row.bookings_per_s:.0f}",
            "yes" if row.as_predicted else "no",
        )
    out.print(table)
    for caveat in caveats(findings):
        out.print(f"note: {caveat}", soft_wrap=True)
    out.print(f"[bold]{findings.sentence}[/bold]", soft_wrap=True)


def _sales(count: int) -> str:
    return "one sale each" if count == 1 else f"means of {count} sales"


def caveats(findings: Findings) -> list[str]:
    """Whatever a reader should know before believing the figures."""
    said: list[str] = []
    for row in findings.rows:
        where = f"guard {'off' if row.arm == 'unguarded' else 'on'}, S = {row.injected_lag_ms} ms"
        late_ms = max(sale.generator_late_p99_ms for sale in row.sales)
        if late_ms > 10:
            said.append(f"{where}: the generator itself was late (p99 {late_ms:.0f} ms)")
        if not row.as_predicted:
            said.append(f"{where}: outside the band, which supposes that D is steady during a sale")
        if dropped := sum(sale.dropped for sale in row.sales):
            said.append(f"{where}: {dropped} buyers were dropped by the generator")
        if lost := sum(sale.failed + sale.indeterminate for sale in row.sales):
            said.append(f"{where}: {lost} requests failed or were never answered")
        reasons = {sale.judgement.reason for sale in row.sales} - {None}
        said.extend(f"{where}: cannot be judged: {reason}" for reason in reasons)
    return said
