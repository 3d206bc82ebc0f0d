"""Scenario 18, strong or eventual: one model for everything, or one that decides and others that are read.

A comparison without a verdict on which is better. In the CRUD arm every read asks the tables that decide (PROJECTOR_GUARD=write_tables), needs no
relay and no projector, and is never late; in the CQRS arm reads come from what the projector made of the events. Both must show what is true.
First a fixed load, the same for both, for latency and lateness; then as much as they can, of one kind alone and all at once.
"""

import asyncio
from collections.abc import Sequence
from statistics import fmean

import msgspec

from loadtest.checkers.honest_reads import honest_reads, stalenesses
from loadtest.checkers.integrity import integrity
from loadtest.driver.percentile import percentile
from loadtest.evidence.trial import Record
from loadtest.experiment.charts import beside_each_other, named_arms
from loadtest.experiment.figures import Figure
from loadtest.experiment.findings import Cell, Judged, Measure
from loadtest.experiment.laboratory import Laboratory
from loadtest.experiment.scenario import Arm, Scenario
from loadtest.instruments.server_load import Gauge, Load, load_between
from loadtest.verdict import Judgement
from loadtest.workloads.busy_hall import (
    KINDS,
    Crowd,
    as_many_as_are_answered,
    open_hall,
    people,
    told,
)

CRUD = Arm(name="CRUD", guard="on", settings={"PROJECTOR_GUARD": "write_tables"})
CQRS = Arm(name="CQRS", guard="on")
NEITHER_RELAY_NOR_PROJECTOR = "api,queries"

FIXED = "fixed"
SATURATED = {"looks": ("look",), "pages": ("page",), "bookings": ("book",), "all": KINDS}
"""What is asked for as fast as it is answered, and the kinds that take part."""

PARTS = {
    "db": ("postgres",),
    "api and queries": ("api and queries",),
    "projector": ("projector",),
    "relay and NATS": ("relay", "nats-server"),
}
"""Whose CPU is told, as one."""


async def measure(lab: Laboratory, arm: Arm, plan: Crowd) -> None:
    """One system per arm; the same people and the same loads in the same order."""
    lab.step(f"{arm.name}: starting the system")
    parts = NEITHER_RELAY_NOR_PROJECTOR if arm.name == CRUD.name else None
    async with lab.system(arm, parts=parts) as system, system.client() as client:
        gauge = Gauge(system)
        opened = await open_hall(lab, system)
        lab.step(f"{arm.name}: a fixed load for {plan.seconds:g} s")
        async with lab.trial(system, arm, {"load": FIXED}, slot_ids=opened.slot_ids) as record:
            before = await gauge.read()
            record.offered(await people(lab, client, record, opened, plan))
            load = load_between(before, await gauge.read())
            record.note(load=msgspec.to_builtins(load))
        for name, kinds in SATURATED.items():
            lab.step(f"{arm.name}: {name}, as many as are answered, for {plan.saturated_s:g} s")
            async with lab.trial(system, arm, {"load": name}, read_log=False) as record:
                before = await gauge.read()
                loops = [as_many_as_are_answered(system, opened, kind, plan) for kind in kinds]
                totals = dict(zip(kinds, await asyncio.gather(*loops), strict=True))
                load = load_between(before, await gauge.read())
                record.note(
                    load=msgspec.to_builtins(load),
                    answered={kind: told(of, kind) for kind, of in totals.items()},
                )


def judge(records: Sequence[Record], plan: Crowd) -> Judged:  # noqa: ARG001  every scenario is judged with its plan
    """One cell per arm and load."""
    cells = [
        _fixed(record) if record.trial.knobs["load"] == FIXED else _saturated(record)
        for record in records
    ]
    notes = ["CRUD runs neither relay nor projector; staleness is that of the fixed load's looks"]
    return Judged(
        cells=cells, figures=_figures(cells) if cells else [], notes=notes if cells else []
    )


def _fixed(record: Record) -> Cell:
    late = stalenesses(record.operations, record.events)
    late_ms = [each.stale_ms for each in late]
    asked = {kind: record.of(kind) for kind in KINDS}
    seconds = sum(generator.seconds for generator in record.trial.generators)
    measures = []
    for kind, operations in asked.items():
        ok = [o for o in operations if o.outcome == "ok"]
        latencies_ms = [(o.return_ns - o.intended_ns) / 1e6 for o in ok]
        measures += _speed(
            kind,
            per_s=len(ok) / seconds if seconds else 0.0,
            p50_ms=percentile(latencies_ms, 50),
            p99_ms=percentile(latencies_ms, 99),
        )
    measures += [
        Measure(name="stale p50 ms", value=percentile(late_ms, 50), digits=1),
        Measure(name="stale p99 ms", value=percentile(late_ms, 99), digits=1),
        Measure(name="stale mean ms", value=fmean(late_ms or [0.0]), digits=2, detail=True),
        Measure(
            name="stale reads %",
            value=100 * sum(each.versions_behind > 0 for each in late) / max(1, len(late)),
            digits=1,
            detail=True,
        ),
    ]
    return _cell(
        record,
        measures,
        judgements=[
            honest_reads(record.operations, record.events),
            integrity(record.operations, record.events),
        ],
        astray=sum(o.outcome != "ok" for each in asked.values() for o in each),
    )


def _saturated(record: Record) -> Cell:
    answered = record.trial.facts["answered"]
    measures = [
        measure
        for kind in KINDS
        if kind in answered
        for measure in _speed(
            kind,
            per_s=answered[kind]["per_s"],
            p50_ms=answered[kind]["p50_ms"],
            p99_ms=answered[kind]["p99_ms"],
        )
    ]
    return _cell(record, measures, astray=sum(each["astray"] for each in answered.values()))


def _speed(kind: str, *, per_s: float, p50_ms: float, p99_ms: float) -> list[Measure]:
    return [
        Measure(name=f"{kind}/s", value=per_s),
        Measure(name=f"{kind} p50 ms", value=p50_ms, digits=1),
        Measure(name=f"{kind} p99 ms", value=p99_ms, digits=1, detail=True),
    ]


def _cell(
    record: Record,
    measures: list[Measure],
    *,
    judgements: Sequence[Judgement] = (),
    astray: float,
) -> Cell:
    load = msgspec.convert(record.trial.facts["load"], Load)
    costs = [
        Measure(name=f"{name} CPU ms/s", value=load.cpu(*parts), detail=True)
        for name, parts in PARTS.items()
    ]
    return Cell(
        arm=record.trial.arm,
        guard="on",
        knob=record.trial.knobs["load"],
        measures=[*measures, *costs],
        judgements=list(judgements),
        generators=record.trial.generators,
        notes=[f"{astray:.0f} requests failed or were never answered"] if astray else [],
    )


def _figures(cells: Sequence[Cell]) -> list[Figure]:
    """Rates and latencies of every load, both arms beside each other."""
    return [
        _side_by_side(
            cells,
            "/s",
            heading="How much is answered",
            caption="A fixed load, then as much as either can: of one kind alone, and all at once.",
            unit="answers per second",
        ),
        _side_by_side(
            cells,
            " p50 ms",
            heading="How long an answer takes",
            caption="In the median. At saturation latency says how many wait, not how long one request takes alone.",
            unit="ms",
        ),
    ]


def _side_by_side(
    cells: Sequence[Cell], figure: str, *, heading: str, caption: str, unit: str
) -> Figure:
    places = [(FIXED, kind) for kind in KINDS]
    places += [(load, kind) for load, kinds in SATURATED.items() for kind in kinds]
    series = []
    for arm, colour, label in named_arms(cells):
        of = {cell.knob: cell for cell in cells if cell.arm == arm}
        told_at = [
            (f"{load}: {kind}", of[load].measured(f"{kind}{figure}"))
            for load, kind in places
            if load in of
        ]
        points = [
            (place, value, f"{label}\n{place}\n{value:,.1f} {unit}") for place, value in told_at
        ]
        series.append((colour, label, points))
    return beside_each_other(
        [f"{load}: {kind}" for load, kind in places],
        series,
        heading=heading,
        caption=f"{caption} From left to right:",
        what="load and kind of request",
        unit=unit,
    )


SCENARIO = Scenario(
    number=18,
    name="strong_or_eventual",
    claim="What one model for everything costs, and what a read model does: throughput, latency and staleness of the same load.",
    fault="None: the same people book, look and open the calendar in both arms.",
    anomaly="reads or bookings that contradict the log",
    knob="load",
    arms=[CRUD, CQRS],
    plan=Crowd(bookings_per_s=150, looks_per_s=200, pages_per_s=50, seconds=5, saturated_s=2.5),
    quick=Crowd(
        bookings_per_s=60, looks_per_s=80, pages_per_s=20, seconds=1, saturated_s=0.4, connections=8
    ),
    measure=measure,
    judge=judge,
    kind="comparison",
)
