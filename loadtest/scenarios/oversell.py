"""Scenario 1, oversell: the last units of a popular slot, sold to people who look at a view that is late.

Claim: however stale the view people decide by, no unit is sold twice, because the write itself is conditional. Fault: the projector's view is
held back by S. Control arm: the guard off (check the view, then write unconditionally) and the database's last line of defence removed; it must
oversell, by λ·E[D] as theory says. Guarded arm: nothing oversold; the same number of buyers is refused instead.
"""

from collections.abc import Sequence
from statistics import fmean

import msgspec

from loadtest.checkers.no_overbooking import no_overbooking
from loadtest.evidence.trial import Record
from loadtest.experiment.charts import by_knob, truth_and_shown
from loadtest.experiment.figures import Figure
from loadtest.experiment.findings import Cell, Judged, Theory
from loadtest.experiment.laboratory import Laboratory
from loadtest.experiment.scenario import Arm, Scenario
from loadtest.history import FinalSlot
from loadtest.theory.staleness_budget import band, decisions_in_flight
from loadtest.verdict import Judgement
from loadtest.workloads.sale_figures import sale_figures, sale_measures
from loadtest.workloads.selling_out import SellOuts, sell_out

UNGUARDED = Arm(name="unguarded", guard="off", settings={"BOOKING_GUARD": "unguarded"})
GUARDED = Arm(name="guarded", guard="on")


async def measure(lab: Laboratory, arm: Arm, plan: SellOuts) -> None:
    """Sells out at every staleness."""
    await sell_out(lab, arm, plan)


def judge(records: Sequence[Record], plan: SellOuts) -> Judged:
    """One cell per arm and staleness: what was oversold or refused, beside λ·E[D]."""
    cells = [
        cell
        for arm in (UNGUARDED, GUARDED)
        for lag_ms in plan.lags_ms
        if (cell := _cell(arm, lag_ms, records, plan)) is not None
    ]
    return Judged(cells=cells, figures=_figures(cells, records, plan))


def _cell(arm: Arm, lag_ms: int, records: Sequence[Record], plan: SellOuts) -> Cell | None:
    ours = [r for r in records if r.trial.arm == arm.name and r.trial.knobs["S ms"] == lag_ms]
    if not ours:
        return None
    sales = [sale_figures(r, r.trial.slot_ids[0], capacity=plan.capacity) for r in ours]
    # Each sale counts once, however many attempts were under way in it.
    staleness_ms = fmean(sale.decision_staleness_ms for sale in sales)
    lost = sum(sale.lost for sale in sales)
    return Cell(
        arm=arm.name,
        guard=arm.guard,
        knob=lag_ms,
        measures=sale_measures(sales),
        theory=Theory(
            of="oversold" if arm.guard == "off" else "refused",
            formula="λ(S+Z)",
            expected=decisions_in_flight(plan.buyers_per_s, staleness_ms),
            band=band(plan.buyers_per_s, staleness_ms, len(sales)),
        ),
        judgements=[_judgement(record) for record in ours],
        must_show=arm.guard == "off" and lag_ms >= plan.must_oversell_from_ms,
        generators=[generator for record in ours for generator in record.trial.generators],
        notes=[f"{lost} requests failed or were never answered"] if lost else [],
    )


def _judgement(record: Record) -> Judgement:
    final = msgspec.convert(record.trial.facts["final"], FinalSlot)
    return no_overbooking(record.operations, record.events, final)


def _figures(cells: list[Cell], records: Sequence[Record], plan: SellOuts) -> list[Figure]:
    if not cells:
        return []
    # Both plots of the cost share their scale, because they are the same quantity.
    tallest = max(
        max(cell.measured("oversold"), cell.measured("refused"))
        if cell.theory is None
        else max(
            cell.measured("oversold"),
            cell.measured("refused"),
            cell.theory.expected + cell.theory.band,
        )
        for cell in cells
    )
    figures = [
        by_knob(
            cells,
            "oversold",
            heading="Units sold twice, by how late the view is",
            caption="Without the guard every decision in flight at the sell-out becomes an oversell. With it, none.",
            knob="S, injected staleness of the view (ms)",
            unit="units oversold per sale",
            theory="λ(S+Z)",
            y_max=tallest,
        ),
        by_knob(
            [cell for cell in cells if cell.guard == "on"],
            "refused",
            heading="The same cost, paid as refusals",
            caption="With the guard on, as many buyers are refused as would have been oversold: people who were shown units that were gone.",
            knob="S, injected staleness of the view (ms)",
            unit="buyers refused per sale",
            theory="λ(S+Z)",
            y_max=tallest,
        ),
    ]
    for arm in (UNGUARDED, GUARDED):
        ours = [record for record in records if record.trial.arm == arm.name]
        if not ours:
            continue
        # The first sale at the largest staleness.
        record = max(
            ours, key=lambda r: (float(r.trial.knobs["S ms"]), -float(r.trial.knobs["sale"]))
        )
        ending = (
            ", and every one of them is sold."
            if arm.guard == "off"
            else "; who believes it is refused."
        )
        figure = truth_and_shown(
            record,
            record.trial.slot_ids[0],
            heading=f"One sale, guard {arm.guard}, S = {record.trial.knobs['S ms']} ms",
            caption=f"The view goes on showing units after the last one is gone{ending}",
            kind="off" if arm.guard == "off" else "on",
            capacity=plan.capacity,
        )
        figures += [figure] if figure is not None else []
    return figures


SCENARIO = Scenario(
    number=1,
    name="oversell",
    claim="However stale the view people decide by, no unit is sold twice.",
    fault="The view is held back by S.",
    anomaly="units sold that did not exist",
    knob="S ms",
    arms=[UNGUARDED, GUARDED],
    plan=SellOuts(lags_ms=[0, 50, 200, 1000], sales=5),
    quick=SellOuts(lags_ms=[0, 200], sales=1),
    measure=measure,
    judge=judge,
    target=True,
)

DEMO = SellOuts(lags_ms=[0, 50, 200, 1000], sales=2)
"""What `booking demo` shows in half a minute."""
