"""Scenario 3, false sold-out: a unit is given back, and people go on being sent away.

Claim: who asks for an answer of at most a second, asks strongly, or follows the live stream is not told "sold out" for longer than that after a
unit came free. Who believes a page that is S old is: λS people per release go home while a unit lies there. The same S makes as many phantoms,
people who are shown a unit that is taken again; the two counts check each other.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import cast

import msgspec
from msgspec import Struct

from loadtest.evidence.ground_truth import Truth
from loadtest.evidence.sent_away import (
    Leaving,
    committed_ns,
    false_noes,
    told_in_time,
    unsold_unit_s,
)
from loadtest.evidence.trial import Record
from loadtest.experiment.charts import by_knob
from loadtest.experiment.figures import Dots, Figure, Line
from loadtest.experiment.findings import Cell, Judged, Measure, Theory
from loadtest.experiment.laboratory import Laboratory
from loadtest.experiment.scenario import Arm, Scenario
from loadtest.theory.churn import difference_band, turned_away_per_release
from loadtest.workloads.sold_out_hall import (
    BY_THE_PAGE,
    HOARDED,
    MAX_AGE,
    STREAM,
    STRONG,
    Hall,
    Way,
)

BELIEVES = Arm(name=BY_THE_PAGE, guard="off")
ASKS = Arm(name="asks before giving up", guard="on")

WAYS: Mapping[str, tuple[Way, ...]] = {
    BELIEVES.name: (BY_THE_PAGE,),
    ASKS.name: (MAX_AGE, STRONG, STREAM),
}
BOUND_MS: Mapping[str, float] = {BY_THE_PAGE: 1000, MAX_AGE: 1000, STRONG: 0, STREAM: 1000}
"""For so long after a unit came free "sold out" is within the promise; who promises nothing is held to what could be had."""
PIPELINE_S = 0.05
"""What a release may need to be shown, beyond the view's lag."""


class Releases(Struct, frozen=True, kw_only=True):
    """How old what people believe is (S, of which the view's own lag is a part), how many come, and for how long."""

    ages_ms: list[int]
    people_per_s: float
    seconds: float
    view_lag_ms: int = 300
    must_show_from_ms: int = 1200


async def measure(lab: Laboratory, arm: Arm, plan: Releases) -> None:
    """Every slot is sold out and has its own people; now and then a hold on it is released. All slots at once, to save time."""
    lab.step(f"{arm.name}: starting the system")
    settings = {"PROJECTOR_INJECTED_LAG_MS": str(plan.view_lag_ms)}
    which = [(way, age_ms) for way in WAYS[arm.name] for age_ms in plan.ages_ms]
    async with lab.system(arm, settings) as system, contextlib.AsyncExitStack() as trials:
        opened = await system.open_resource(
            capacities=[HOARDED] * len(which), rng=lab.rng("slots", arm.name)
        )
        halls = []
        for (way, age_ms), slot_id in zip(which, opened.slot_ids, strict=True):
            trial = lab.trial(system, arm, {"S ms": age_ms, "way": way}, slot_ids=[slot_id])
            record = await trials.enter_async_context(trial)
            halls.append(
                Hall(
                    system,
                    record,
                    lab,
                    slot_id,
                    way=way,
                    age_ms=age_ms,
                    view_lag_ms=plan.view_lag_ms,
                    people_per_s=plan.people_per_s,
                    seconds=plan.seconds,
                )
            )
        lab.step(
            f"{arm.name}: {plan.people_per_s:.0f} people a second at each of {len(which)} slots, for {plan.seconds:.0f} s"
        )
        async with asyncio.TaskGroup() as together:
            for hall in halls:
                together.create_task(hall.open())


def judge(records: Sequence[Record], plan: Releases) -> Judged:
    """One cell per way of asking and age: people sent away while a unit was free, and for how long it had been."""
    ways = [way for of_arm in WAYS.values() for way in of_arm]
    in_order = sorted(
        records,
        key=lambda r: (ways.index(cast("Way", r.trial.knobs["way"])), r.trial.knobs["S ms"]),
    )
    cells = [_cell(record, plan) for record in in_order]
    notes = []
    for cell in cells:
        if cell.guard == "off":
            false, phantoms = round(cell.measured("false no")), round(cell.measured("phantoms"))
            notes.append(
                f"S = {cell.knob} ms: {false} false sold-outs and {phantoms} phantoms; theory wants them equal within {difference_band(phantoms, false):.0f}"
            )
    return Judged(cells=cells, figures=_figures(cells, records), notes=notes)


def _cell(record: Record, plan: Releases) -> Cell:
    believes = record.trial.arm == BELIEVES.name
    way, age_ms = str(record.trial.knobs["way"]), int(record.trial.knobs["S ms"])
    slot_id = record.trial.slot_ids[0]
    truth = Truth(record.operations, record.events)
    leavings = msgspec.convert(record.trial.facts["leavings"], list[Leaving])
    noes = false_noes(leavings, truth, slot_id)
    releases = sum(o.outcome == "ok" for o in record.of("release"))
    theory = None
    if believes and leavings and releases:
        shown_ms = plan.view_lag_ms + fmean((no.at_ns - no.shown_ns) / 1e6 for no in leavings)
        expected = turned_away_per_release(plan.people_per_s, shown_ms)
        band = 3 * (expected / releases) ** 0.5 + plan.people_per_s * PIPELINE_S
        theory = Theory(of="turned away", formula="λS", expected=expected, band=band)
    return Cell(
        arm=BELIEVES.name if believes else way,
        guard="off" if believes else "on",
        knob=age_ms,
        measures=[
            Measure(name="releases", value=releases),
            Measure(name="turned away", value=len(noes) / max(1, releases), digits=1),
            Measure(name="latest ms", value=max((no.late_ms for no in noes), default=0.0)),
            Measure(
                name="unsold unit-s",
                value=unsold_unit_s(record, truth) / max(1, releases),
                digits=2,
            ),
            Measure(name="not told", value=record.trial.facts["not_told"]),
            Measure(name="false no", value=len(noes), detail=True),
            Measure(
                name="phantoms",
                value=sum(o.status == 409 for o in record.of("hold")),
                detail=True,
            ),
        ],
        theory=theory,
        judgements=[
            told_in_time(
                leavings,
                noes,
                bound_ms=BOUND_MS[way],
                hole=None if releases else "nothing was released, so nobody could be told wrong",
            )
        ],
        must_show=believes and age_ms >= plan.must_show_from_ms,
        generators=record.trial.generators,
    )


def _figures(cells: list[Cell], records: Sequence[Record]) -> list[Figure]:
    if not cells:
        return []
    away = by_knob(
        cells,
        "turned away",
        heading="Sent away although a unit was free",
        caption="Who believes a page that is S old: λS per release. Who asks first: only those who come before the view itself can know.",
        knob="S, age of what is believed (ms)",
        unit="people per release",
        theory="λS",
    )
    unsold = by_knob(
        cells,
        "unsold unit-s",
        heading="What it costs the house",
        caption="A unit that was given back lies unsold for as long as people believe that there is none.",
        knob="S, age of what is believed (ms)",
        unit="unit-seconds per release",
    )
    late = [record for record in records if record.trial.arm == BELIEVES.name] or list(records)
    story = _story(max(late, key=lambda r: float(r.trial.knobs["S ms"])))
    return [away, unsold, *([story] if story is not None else [])]


def _story(record: Record) -> Figure | None:
    """One slot over time: units really free, and people sent away by then."""
    slot_id = record.trial.slot_ids[0]
    truth = Truth(record.operations, record.events)
    leavings = msgspec.convert(record.trial.facts["leavings"], list[Leaving])
    released = [c.slot.version for c in truth.changes(slot_id) if c.event.type == "HoldReleased"]
    if not released or not leavings:
        return None
    zero_ns, ends_ns = record.trial.began_ns, max(leaving.at_ns for leaving in leavings)
    free: list[tuple[float, float]] = [(0.0, 0.0)]
    free += [
        ((committed_ns(truth, slot_id, c.slot.version) - zero_ns) / 1e9, float(c.remaining))
        for c in truth.changes(slot_id)
        if c.slot.version >= released[0]
    ]
    free.append(((ends_ns - zero_ns) / 1e9, free[-1][1]))
    noes = false_noes(leavings, truth, slot_id)
    away = [
        ((no.leaving.at_ns - zero_ns) / 1e9, 1.0, f"{no.late_ms:.0f} ms after a unit came free")
        for no in sorted(noes, key=lambda no: no.leaving.at_ns)
    ]
    return Figure(
        heading=f"One slot, guard {'off' if record.trial.arm == BELIEVES.name else 'on'}, S = {record.trial.knobs['S ms']} ms",
        caption="Each dot is somebody who is told that there is nothing, while there is.",
        x_label="seconds since the trial began",
        y_label="units free",
        drawn=[
            Line(kind="on", points=free, step=True),
            Dots(kind="off", points=away, hollow=True),
        ],
        key=[("on", "really free"), ("off", "sent away")],
    )


SCENARIO = Scenario(
    number=3,
    name="false_sold_out",
    claim='Who asks for an answer of at most a second, strongly or by the live stream is not told "sold out" for longer than that promises.',
    fault="Holds are released on a sold-out slot, and what people look at is S old.",
    anomaly="people sent away although a unit had been free for longer than promised",
    knob="S ms",
    arms=[BELIEVES, ASKS],
    plan=Releases(ages_ms=[500, 1300, 2000], people_per_s=60, seconds=11.5),
    quick=Releases(ages_ms=[1400], people_per_s=60, seconds=4.5),
    measure=measure,
    judge=judge,
)
