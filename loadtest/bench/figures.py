"""What a bench measured, and whether the promises hold: plain numbers, no clock and no process.

A turn is one arm's run of a few seconds. A figure of an arm is the median of its turns with the lowest and highest beside it; a ratio is the
ratio of two medians. A turn that lost or invented a booking measured nothing, so a measurement fails with it whatever its speed.
"""

from collections.abc import Sequence
from math import inf
from statistics import median

from msgspec import Struct, structs

from loadtest.verdict import HOLDS, INTERRUPTED, VIOLATED

# What a flush may cost for a ratio to be comparable with others: batching saves flushes, so it saves little where they are almost free
# (memory, a controller with a battery) and looks better than it is where they are slow (disks that spin).
FDATASYNC_MIN_MS = 0.1
FDATASYNC_MAX_MS = 0.5


class Spread(Struct, frozen=True, kw_only=True):
    """The median of several turns, and how far they lie apart."""

    median: float
    lowest: float
    highest: float


def spread(samples: Sequence[float]) -> Spread:
    """Median, lowest and highest of at least one sample."""
    return Spread(median=median(samples), lowest=min(samples), highest=max(samples))


class Turn(Struct, frozen=True, kw_only=True):
    """One run of one arm."""

    arm: str
    seconds: float
    answered: int
    """What was answered as it should be; everything below counts these."""
    astray: int
    """Refused, failed or never answered: a turn that measures has none."""
    per_second: float
    clients: int
    p50_ms: float | None = None
    p99_ms: float | None = None
    cpu_us: dict[str, float] = {}
    """CPU per answer, by the processes that took it; empty where the machine does not tell."""
    more: dict[str, float] = {}
    """Figures that only this kind of turn has, by name."""

    def figure(self, name: str) -> float:
        """A figure by its name.

        Raises:
            KeyError: the turn has none of that name.
        """
        return float(self.more[name] if name in self.more else getattr(self, name))


class Wanted(Struct, frozen=True, kw_only=True):
    """A promise: what a figure of an arm, or its ratio to another arm's, is at least or at most."""

    says: str
    arm: str
    against: str | None = None
    figure: str = "per_second"
    at_least: float | None = None
    at_most: float | None = None

    @property
    def bound(self) -> str:
        """The promise's number, as a person writes it."""
        if self.at_least is not None:
            return f"≥ {self.at_least:g}"
        return "" if self.at_most is None else f"≤ {self.at_most:g}"


class Finding(Struct, frozen=True, kw_only=True):
    """A promise beside what was measured; `holds` is None where nothing was promised."""

    wanted: Wanted
    value: Spread
    holds: bool | None


class Measured(Struct, frozen=True, kw_only=True):
    """One measurement: what each arm did in its turns, and what was promised of them."""

    name: str
    claim: str
    wanted: list[Wanted]
    turns: list[Turn]
    broken: list[str]
    """Why the figures are not to be believed: sentences, none when they are."""
    straying: list[str] = []
    """Arms whose refusals are part of the figure."""
    notes: list[str] = []
    """What a reader should know beside the figures."""
    took_s: float = 0.0

    @property
    def arms(self) -> list[str]:
        """The arms in order of their first turn."""
        return list(dict.fromkeys(turn.arm for turn in self.turns))

    def of(self, arm: str) -> list[Turn]:
        """The turns of one arm."""
        return [turn for turn in self.turns if turn.arm == arm]

    def figures(self, arm: str, figure: str = "per_second") -> Spread:
        """A figure of an arm over its turns."""
        return spread([turn.figure(figure) for turn in self.of(arm)])

    @property
    def findings(self) -> list[Finding]:
        """Every promise with what was measured."""
        return [find(wanted, self) for wanted in self.wanted]

    @property
    def objections(self) -> list[str]:
        """Why the measurement does not hold: sentences, none when it does."""
        missed = [
            f"{found.wanted.says}: {found.value.median:.2f}, wanted {found.wanted.bound}."
            for found in self.findings
            if found.holds is False
        ]
        return [*missed, *self.broken, *_strays(self)]

    @property
    def holds(self) -> bool:
        """Whether every promise was kept by figures that can be believed."""
        return not self.objections


def find(wanted: Wanted, measured: Measured) -> Finding:
    """What was measured of a promise."""
    value = measured.figures(wanted.arm, wanted.figure)
    if wanted.against is not None:
        value = ratio(
            [turn.figure(wanted.figure) for turn in measured.of(wanted.arm)],
            [turn.figure(wanted.figure) for turn in measured.of(wanted.against)],
        )
    kept = [
        *([value.median >= wanted.at_least] if wanted.at_least is not None else []),
        *([value.median <= wanted.at_most] if wanted.at_most is not None else []),
    ]
    return Finding(wanted=wanted, value=value, holds=all(kept) if kept else None)


def ratio(of: Sequence[float], to: Sequence[float]) -> Spread:
    """The ratio of two medians. Lowest and highest are those of neighbouring turns, or the extremes where one took more turns."""
    if len(of) == len(to):
        pairs = [_over(one, other) for one, other in zip(of, to, strict=True)]
    else:
        pairs = [_over(min(of), max(to)), _over(max(of), min(to))]
    return Spread(median=_over(median(of), median(to)), lowest=min(pairs), highest=max(pairs))


def _over(one: float, other: float) -> float:
    """A guard may sell nothing in a short turn; whatever sold something is endlessly faster."""
    return one / other if other else inf


def _strays(measured: Measured) -> list[str]:
    return [
        f"{astray} requests of {arm} were not answered as they should be."
        for arm in measured.arms
        if arm not in measured.straying
        and (astray := sum(turn.astray for turn in measured.of(arm)))
    ]


class Machine(Struct, frozen=True, kw_only=True):
    """Where it was measured."""

    cores: int
    processor: str
    system: str
    python: str
    load_before: float
    """Processes that wanted a core in the minute before: what is not ours takes from all arms, and not alike."""

    @property
    def quiet(self) -> bool:
        """Whether at most a quarter of the cores was in use before."""
        return self.load_before <= self.cores / 4


class Report(Struct, frozen=True, kw_only=True):
    """A whole run of the bench."""

    started_at: str
    took_s: float
    command: str
    machine: Machine
    fdatasync_p50_ms: float
    """What a flush costs on this disk."""
    flush_delay_ms: float = 0.0
    """What every flush of Postgres waited on purpose."""
    flush_p50_ms: float
    """What a flush cost in all, with that wait as long as it really took."""
    measured: list[Measured]
    interrupted: bool = False
    """Whether somebody stopped it before its end."""
    not_measured: list[str] = []
    """Of which measurements that left nothing, the one it was at among them."""

    @property
    def comparable(self) -> bool:
        """Whether a flush cost what it may for the ratios to be compared with others."""
        return FDATASYNC_MIN_MS <= self.flush_p50_ms <= FDATASYNC_MAX_MS

    @property
    def holds(self) -> bool | None:
        """Whether everything that was measured holds; None where nothing was."""
        return all(one.holds for one in self.measured) if self.measured else None

    @property
    def exit_code(self) -> int:
        """What a script is told at the end."""
        if self.interrupted:
            return INTERRUPTED
        return HOLDS if self.holds else VIOLATED


def as_written(report: Report) -> dict[str, object]:
    """The report with what follows from it, for a script."""
    return {
        "holds": report.holds,
        "comparable": report.comparable,
        **{
            field: getattr(report, field)
            for field in report.__struct_fields__
            if field != "measured"
        },
        "measured": [
            {
                "holds": one.holds,
                "objections": one.objections,
                "findings": one.findings,
                **structs.asdict(one),
            }
            for one in report.measured
        ],
    }
