"""A report in sentences: first what was promised and what was measured, then what it rests on."""

from collections.abc import Iterable

from loadtest.bench.figures import (
    FDATASYNC_MAX_MS,
    FDATASYNC_MIN_MS,
    Finding,
    Machine,
    Measured,
    Report,
    Spread,
    spread,
)

KEPT = {True: "holds", False: "DOES NOT HOLD", None: "for information"}


def summary(report: Report) -> str:
    """What a person reads at the end of `loadtest bench`."""
    lines = [promise(found, one) for one in report.measured for found in one.findings]
    widths = [max((len(line[column]) for line in lines), default=0) for column in range(4)]
    table = [
        "  ".join(cell.ljust(w) for cell, w in zip(line, [*widths, 0], strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join(
        [
            *table,
            "",
            *(
                f"{one.name}: {objection}"
                for one in report.measured
                for objection in one.objections
            ),
            *(
                line
                for one in report.measured
                for line in (
                    "",
                    f"{one.name} ({one.took_s:.0f} s): {one.claim}",
                    *measured_in_words(one),
                )
            ),
            "",
            flushes(report),
            machine(report.machine),
            f"took {report.took_s:.0f} s; again: {report.command}",
            *left_out(report),
            verdict(report),
        ]
    )


def verdict(report: Report) -> str:
    """Whether the promises hold, as far as an interruption let them be measured."""
    if report.holds is None:
        return "nothing was measured"
    if not report.holds:
        return "NOT EVERYTHING HOLDS"
    return "what was measured holds" if report.interrupted else "everything holds"


def left_out(report: Report) -> list[str]:
    """What an interruption left unmeasured: a sentence, none when it left nothing."""
    if not report.not_measured:
        return []
    return [f"interrupted, so not measured: {', '.join(report.not_measured)}"]


def promise(found: Finding, one: Measured) -> tuple[str, str, str, str, str]:
    """Measurement, promise, what was wanted, what was measured, and whether that holds."""
    wanted = found.wanted
    value = found.value
    holds = KEPT[found.holds if not one.broken else False]
    return (
        one.name,
        wanted.says,
        wanted.bound,
        f"{number(value.median)} ({number(value.lowest)} to {number(value.highest)})",
        holds,
    )


def measured_in_words(one: Measured) -> Iterable[str]:
    """A line per arm, then the notes."""
    width = max((len(arm) for arm in one.arms), default=0)
    for arm in one.arms:
        turns = one.of(arm)
        p50_ms = [turn.p50_ms for turn in turns if turn.p50_ms is not None]
        p99_ms = [turn.p99_ms for turn in turns if turn.p99_ms is not None]
        parts = [f"{arm:{width}}  {rate(one.figures(arm))} with {turns[0].clients} clients"]
        if p50_ms and p99_ms:
            parts.append(f"p50 {spread(p50_ms).median:.1f} ms, p99 {spread(p99_ms).median:.1f} ms")
        parts += [
            f"{name.replace('_', ' ')} {number(one.figures(arm, name).median)}"
            for name in turns[0].more
        ]
        if used := cpu(one, arm):
            parts.append(
                "CPU " + ", ".join(f"{part} {us:.0f}" for part, us in used.items()) + " µs each"
            )
        if astray := sum(turn.astray for turn in turns):
            parts.append(f"{astray} answered otherwise")
        yield ", ".join(parts)
    yield from one.notes


def cpu(one: Measured, arm: str) -> dict[str, float]:
    """The median CPU per answer of each part, in microseconds; the largest first."""
    parts = {part for turn in one.of(arm) for part in turn.cpu_us}
    medians = {
        part: spread([turn.cpu_us.get(part, 0.0) for turn in one.of(arm)]).median for part in parts
    }
    return dict(sorted(medians.items(), key=lambda item: -item[1]))


def rate(of: Spread) -> str:
    """A rate with its spread."""
    return f"{of.median:,.0f}/s ({of.lowest:,.0f} to {of.highest:,.0f})"


def number(value: float) -> str:
    """A figure with the digits it deserves."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def flushes(report: Report) -> str:
    """What a flush cost, and what that says about the ratios."""
    if not report.fdatasync_p50_ms:  # interrupted before the first of them
        return "what a flush takes was not measured"
    told = f"fdatasync p50 {report.fdatasync_p50_ms:.3f} ms"
    if report.flush_delay_ms:
        told += f", {report.flush_p50_ms:.3f} ms with the {report.flush_delay_ms:.3f} ms that every flush of Postgres waits ON PURPOSE, in all arms"
    return f"{told}, {_comparable(report)}"


def _comparable(report: Report) -> str:
    allowed = f"{FDATASYNC_MIN_MS} to {FDATASYNC_MAX_MS} ms"
    if report.comparable:
        return f"within {allowed}, so ratios to pgbench compare with others"
    if report.flush_p50_ms < FDATASYNC_MIN_MS:
        return f"OUTSIDE {allowed}: flushes are almost free here, so batching gains less than elsewhere"
    return f"OUTSIDE {allowed}: flushes are slow here, so batching gains more than elsewhere"


def machine(told: Machine) -> str:
    """Where it was measured, and whether others used it."""
    quiet = "quiet before" if told.quiet else "BUSY before: measure again when it is quiet"
    return (
        f"{told.cores} cores, {told.processor}, {told.system}, Python {told.python}; "
        f"load {told.load_before:.1f}, {quiet}"
    )
