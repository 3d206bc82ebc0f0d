"""What a run of the oversell scenario found, as data: per sale, per staleness, and as a whole. Reports turn it into sentences and pictures."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from loadtest.verdict import INTERRUPTED, Judgement, exit_code

Arm = Literal["unguarded", "guarded"]


class SaleFigures(Struct, frozen=True, kw_only=True):
    """One sale in numbers: units by the event log, answers by the history, times in milliseconds."""

    slot_id: str
    capacity: int
    offered: int
    accepted: int
    oversold: int
    refused: int
    turned_away: int
    indeterminate: int
    failed: int
    decision_staleness_ms: float
    bookings_per_s: float
    generator_late_p99_ms: float
    dropped: int
    judgement: Judgement


class Moment(Struct, frozen=True, array_like=True):
    """A point of a timeline: milliseconds after the first booking, units left."""

    at_ms: float
    remaining: int


class Timeline(Struct, frozen=True, kw_only=True):
    """One sale over time: units really left, and units buyers were shown."""

    truth: list[Moment]
    shown: list[Moment]


class Row(Struct, frozen=True, kw_only=True):
    """All sales of one arm at one injected staleness S; counts are means per sale, `expected` = λ·E[D] ± `band`."""

    arm: Arm
    injected_lag_ms: int
    accepted: float
    oversold: float
    expected: float
    band: float
    refused: float
    age_p50_ms: float
    age_p99_ms: float
    think_and_queue_ms: float
    booking_p50_ms: float
    booking_p99_ms: float
    bookings_per_s: float
    opportunities: int
    sales: list[SaleFigures]
    timeline: Timeline

    @property
    def showed_the_anomaly(self) -> bool:
        """Whether a unit was certainly sold twice."""
        return any(sale.judgement.verdict == "invalid" for sale in self.sales)

    @property
    def cost(self) -> float:
        """What theory speaks of: units oversold without the guard, buyers refused with it."""
        return self.oversold if self.arm == "unguarded" else self.refused

    @property
    def as_predicted(self) -> bool:
        """Whether the cost lies within three standard deviations of λ·E[D]."""
        return abs(self.cost - self.expected) <= self.band


class Plan(Struct, frozen=True, kw_only=True):
    """The size of the experiment; λ is `buyers_per_s`."""

    lags_ms: list[int]
    sales: int
    capacity: int = 500
    buyers_per_s: float = 500
    think_ms: float = 25
    must_oversell_from_ms: int = 50


class Findings(Struct, frozen=True, kw_only=True):
    """The whole run. `complete` is false when it was interrupted."""

    scenario: str
    claim: str
    seed: int
    started_at: datetime
    seconds: float
    first_request_s: float | None
    complete: bool
    reproduce: str
    environment: dict[str, str]
    plan: Plan
    rows: list[Row]

    def of(self, arm: Arm) -> list[Row]:
        """The rows of one arm, by staleness."""
        return [row for row in self.rows if row.arm == arm]

    @property
    def control_showed_it(self) -> bool:
        """Whether the arm without guard oversold at every staleness where it must."""
        must = [lag for lag in self.plan.lags_ms if lag >= self.plan.must_oversell_from_ms]
        did = {row.injected_lag_ms for row in self.of("unguarded") if row.showed_the_anomaly}
        return did.issuperset(must)

    @property
    def exit_code(self) -> int:
        """0 holds, 1 the guarded arm oversold, 3 the control did not show the anomaly, 130 interrupted."""
        verdicts = [sale.judgement.verdict for row in self.of("guarded") for sale in row.sales]
        if not self.complete and "invalid" not in verdicts:
            return INTERRUPTED
        return exit_code(control_showed_it=self.control_showed_it, guarded=verdicts)

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        guarded = self.of("guarded")
        opportunities = sum(row.opportunities for row in guarded)
        oversold = sum(sale.oversold for row in guarded for sale in row.sales)
        if oversold:
            return f"VIOLATED: with the guard on, {oversold} units were sold twice."
        if not self.complete:
            return "INTERRUPTED: what was measured until then is shown."
        if not self.control_showed_it:
            return "INVALID EXPERIMENT: without the guard nothing was oversold where it must be, so the guard proved nothing."
        if self.exit_code:
            return (
                "INVALID EXPERIMENT: the evidence of the guarded arm has a hole; see the reasons."
            )
        worst = max(self.of("unguarded"), key=lambda row: row.oversold)
        return (
            f"HOLDS: without the guard up to {worst.oversold:.0f} units were sold that did not exist; "
            f"with it none, in {opportunities} opportunities."
        )
