"""Scenario 2, phantom availability: what a late view costs when nothing can be oversold.

Claim: the buyers refused per sell-out are the decisions in flight on the old view, λ·E[D], of which only λ·E[S] is the read model's; who reads
strongly right before booking is refused only for what happens between that read and the decision (with an injected lag the strong read itself
has to wait S). There is no control arm: the measurement is held against its theory. D comes from what each attempt says it was based on,
refusals are counted separately, so the two can disagree.
"""

from collections.abc import Sequence
from statistics import fmean

import msgspec
from msgspec.structs import replace

from loadtest.checkers.no_overbooking import no_overbooking
from loadtest.evidence.trial import Record
from loadtest.experiment.charts import by_knob, truth_and_shown
from loadtest.experiment.figures import Dots, Figure, Line
from loadtest.experiment.findings import Cell, Judged, Measure, Theory, mean_of
from loadtest.experiment.laboratory import Laboratory
from loadtest.experiment.scenario import Arm, Scenario
from loadtest.history import FinalSlot
from loadtest.theory.staleness_budget import band, decisions_in_flight
from loadtest.verdict import Judgement
from loadtest.workloads.sale_figures import SaleFigures, sale_figures, sale_measures
from loadtest.workloads.selling_out import SellOuts, sell_out

EVENTUAL = Arm(name="believes the view", guard="on")
STRONG = Arm(name="strong read first", guard="on")


async def measure(lab: Laboratory, arm: Arm, plan: SellOuts) -> None:
    """Sells out at every staleness; the arms differ in what people do, not in the system."""
    if arm.name == STRONG.name:
        # An injected lag is one a strong read waits for, so beyond small ones it says nothing about strong reads.
        plan = replace(plan, lags_ms=plan.lags_ms[:2])
    await sell_out(lab, arm, plan, strong=arm.name == STRONG.name)


def judge(records: Sequence[Record], plan: SellOuts) -> Judged:
    """One cell per arm and staleness: refused, beside λ times the measured age of decisions."""
    sales = {
        record.trial.name: sale_figures(record, record.trial.slot_ids[0], capacity=plan.capacity)
        for record in records
    }
    cells = []
    for arm in (EVENTUAL, STRONG):
        for lag_ms in plan.lags_ms:
            ours = [
                record
                for record in records
                if record.trial.arm == arm.name and record.trial.knobs["S ms"] == lag_ms
            ]
            if ours:
                cells.append(_cell(arm, lag_ms, ours, [sales[r.trial.name] for r in ours], plan))
    found = [(sale.decision_staleness_ms, float(sale.refused)) for sale in sales.values()]
    notes = []
    if any(x for x, _ in found):
        slope_per_s = sum(x * y for x, y in found) / sum(x * x for x, _ in found) * 1000
        notes = [
            f"refusals grow by {slope_per_s:.0f} per second of D; λ is {plan.buyers_per_s:.0f}"
        ]
    return Judged(cells=cells, figures=_figures(cells, records, sales, plan), notes=notes)


def _cell(
    arm: Arm, lag_ms: int, records: list[Record], sales: list[SaleFigures], plan: SellOuts
) -> Cell:
    staleness_ms = fmean(sale.decision_staleness_ms for sale in sales)
    attempts = sum(len(record.of("book")) for record in records)
    refused = sum(sale.refused for sale in sales)
    false_available = Measure(
        name="false %", value=100 * refused / attempts if attempts else 0.0, digits=1
    )
    return Cell(
        arm=arm.name,
        guard="on",
        knob=lag_ms,
        measures=[
            mean_of("refused", [s.refused for s in sales], digits=1),
            Measure(name="D ms", value=staleness_ms),
            false_available,
            *(
                replace(m, detail=m.name != "age p50 ms")
                for m in sale_measures(sales)
                if m.name not in ("accepted", "oversold", "refused")
            ),
        ],
        theory=Theory(
            of="refused",
            formula="λD",
            expected=decisions_in_flight(plan.buyers_per_s, staleness_ms),
            band=band(plan.buyers_per_s, staleness_ms, len(sales)),
        )
        # Strong reads are answered in groups, so who is in flight at the sell-out is no Poisson number and the band does not hold.
        if arm.name == EVENTUAL.name
        else None,
        judgements=_judged(records),
        generators=[generator for record in records for generator in record.trial.generators],
    )


def _judged(records: Sequence[Record]) -> list[Judgement]:
    judgements = [
        no_overbooking(
            record.operations,
            record.events,
            msgspec.convert(record.trial.facts["final"], FinalSlot),
        )
        for record in records
    ]
    # A sale after which nobody came in vain had no opportunity to go wrong: it proves nothing, and is no hole beside others.
    return [each for each in judgements if not each.proves_nothing] or judgements


def _figures(
    cells: list[Cell], records: Sequence[Record], sales: dict[str, SaleFigures], plan: SellOuts
) -> list[Figure]:
    if not cells:
        return []
    refused = by_knob(
        cells,
        "refused",
        heading="Refused although units were shown",
        caption="Who believes a view that is S old is refused λ(S+Z) times per sell-out; a strong read right before booking takes S out of it.",
        knob="S, injected staleness of the view (ms)",
        unit="buyers refused per sale",
        theory="λD",
    )
    points = [
        (
            sales[record.trial.name].decision_staleness_ms,
            float(sales[record.trial.name].refused),
            f"{record.trial.arm}, S = {record.trial.knobs['S ms']} ms\nD = {sales[record.trial.name].decision_staleness_ms:.0f} ms\nrefused: {sales[record.trial.name].refused}",
        )
        for record in records
    ]
    furthest_ms = max(x for x, _, _ in points)
    slope = Figure(
        heading="The slope is λ",
        caption="Each sale: buyers refused against the measured age of decisions. Theory is a line through zero whose slope is the rate of buyers.",
        x_label="D, mean age of a decision (ms)",
        y_label="buyers refused",
        drawn=[
            Line(
                kind="theory",
                points=[(0.0, 0.0), (furthest_ms, plan.buyers_per_s * furthest_ms / 1000)],
                dashed=True,
            ),
            Dots(kind="a", points=points),
        ],
        key=[("a", "one sale"), ("theory", f"λ = {plan.buyers_per_s:.0f}/s")],
    )
    latest = max(records, key=lambda r: float(r.trial.knobs["S ms"]))
    story = truth_and_shown(
        latest,
        latest.trial.slot_ids[0],
        heading=f"Phantom units, S = {latest.trial.knobs['S ms']} ms",
        caption="The shaded area is what was shown and no longer there.",
        kind="on",
        capacity=plan.capacity,
    )
    return [refused, slope, *([story] if story is not None else [])]


SCENARIO = Scenario(
    number=2,
    name="phantom_availability",
    claim="Staleness costs refusals, one for one: λ times the age of a decision, and none of it by the read model for who reads strongly.",
    fault="The view is held back by S.",
    anomaly="units sold that did not exist",
    knob="S ms",
    arms=[EVENTUAL, STRONG],
    plan=SellOuts(lags_ms=[0, 50, 200, 1000], sales=3),
    quick=SellOuts(lags_ms=[0, 200], sales=1),
    measure=measure,
    judge=judge,
    kind="theory",
    target=True,
)
