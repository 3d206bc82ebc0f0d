"""The soak: mixed traffic for as long as one likes, judged period by period.

Each period puts new slots on sale, so its history is complete and can be judged when it ends. There is no control arm: what is claimed is that
nothing goes wrong, that no process grows, and that the lag does not. Its rate is half of what the system was found to bear, unless one is given.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from statistics import fmean

from msgspec import Struct

from loadtest.checkers.conservation import conservation
from loadtest.checkers.honest_reads import honest_reads
from loadtest.checkers.honest_refusals import honest_refusals
from loadtest.checkers.integrity import integrity
from loadtest.checkers.monotonic_reads import monotonic_reads
from loadtest.checkers.ownership import ownership
from loadtest.checkers.read_your_writes import read_your_writes
from loadtest.checkers.real_time_order import real_time_order
from loadtest.checkers.writes_follow_reads import writes_follow_reads
from loadtest.driver import open_loop, poisson, ramp
from loadtest.driver.percentile import percentile
from loadtest.evidence.trial import Record, Trial
from loadtest.experiment.figures import Figure, Kind, Line, thinned
from loadtest.experiment.findings import Cell, Judged, Measure
from loadtest.experiment.laboratory import Laboratory, Recorder
from loadtest.experiment.scenario import Arm, Scenario
from loadtest.instruments.memory import sample_memory, slope_per_hour
from loadtest.system import System
from loadtest.verdict import Fact, Judgement, Witness, judged
from loadtest.workloads.visitors import Habits, Visitors

CHECKERS = (
    integrity,
    real_time_order,
    honest_refusals,
    honest_reads,
    read_your_writes,
    monotonic_reads,
    writes_follow_reads,
    conservation,
    ownership,
)
# Saturation is looked for by more and more visitors a second; it is where so many are inside at once, or the generator is this late.
RAMP_S = 24.0
RAMP_TO_PER_S = 1600.0
INSIDE_MAX = 1500
LATE_MAX_MS = 50.0
# Growth is judged over the second half of at least so long a run, because caches fill first.
JUDGED_FROM_S = 300.0
GROWTH_SHARE_MAX = 0.2
GROWTH_MB_MIN = 8.0
LAG_GROWTH_MS_MAX = 50.0
NO_MEMORY = "the memory of the processes could not be read on this system"


class Plan(Struct, frozen=True, kw_only=True):
    """How long, how much: `visitors_per_s` null is half of saturation."""

    seconds: float
    visitors_per_s: float | None = None
    period_s: float = 20.0
    slots: int = 100
    capacity: int = 60
    habits: Habits = Habits()


async def measure(lab: Laboratory, arm: Arm, plan: Plan) -> None:
    """Period after period, until the time is up."""
    lab.step("starting the system")
    async with lab.system(arm) as system:
        rate_per_s = plan.visitors_per_s or await _half_of_saturation(lab, system, plan)
        periods = max(1, round(plan.seconds / plan.period_s))
        for number in range(1, periods + 1):
            lab.step(f"period {number} of {periods}, {rate_per_s:.0f} visitors/s")
            opened = await system.open_resource(
                capacities=[plan.capacity] * plan.slots, rng=lab.rng("slots", number)
            )
            knobs = {"period": number}
            async with lab.trial(system, arm, knobs, slot_ids=opened.slot_ids) as record:
                record.note(visitors_per_s=rate_per_s)
                async with system.client() as client, _watched(lab, system, record):
                    visitors = Visitors(client, record, opened, plan.habits, lab.rng(number))
                    arrivals_s = poisson(rate_per_s, lab.rng("arrivals", number))
                    offered = await open_loop(arrivals_s, visitors.visit, seconds=plan.period_s)
                    record.offered(offered)


@contextlib.asynccontextmanager
async def _watched(lab: Laboratory, system: System, record: Recorder) -> AsyncIterator[None]:
    """Memory of the system's processes while the block runs; nothing against somebody's deployment."""
    if lab.target is not None:
        yield
        return
    samples: list[tuple[float, dict[str, float]]] = []
    record.facts["memory_mb"] = samples
    sampling = asyncio.ensure_future(sample_memory(system.run_file().pid, samples))
    try:
        yield
    finally:
        sampling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sampling  # what ended it before is no secret


async def _half_of_saturation(lab: Laboratory, system: System, plan: Plan) -> float:
    lab.step("looking for saturation")
    opened = await system.open_resource(
        capacities=[10_000] * plan.slots, rng=lab.rng("saturation slots")
    )
    unrecorded = Recorder("", "saturation")
    async with system.client() as client:
        visitors = Visitors(client, unrecorded, opened, plan.habits, lab.rng("saturation"))
        offered = await open_loop(
            ramp(10, RAMP_TO_PER_S, over_s=RAMP_S),
            visitors.visit,
            seconds=RAMP_S,
            until=lambda: visitors.in_flight > INSIDE_MAX or visitors.late_ms > LATE_MAX_MS,
        )
    reached_s = min(RAMP_S, offered.seconds)
    return (10 + (RAMP_TO_PER_S - 10) * reached_s / RAMP_S) / 2


def judge(records: Sequence[Record], plan: Plan) -> Judged:
    """One cell per period, and over all of them whether anything grew."""
    cells, trials = [], []
    for record in records:  # once: they may be read from disk, one by one
        cells.append(_cell(record))
        trials.append(record.trial)
    if not cells:
        return Judged(cells=[])
    memory = _memory(trials)
    lags = [
        (t.began_ns / 1e9, c.measured("lag p50 ms")) for t, c in zip(trials, cells, strict=True)
    ]
    unseen = not memory and any("memory_mb" in trial.facts for trial in trials)
    growth, notes = _growth(memory, lags, hole=NO_MEMORY if unseen else None)
    rate_per_s = trials[0].facts.get("visitors_per_s", 0.0)
    if plan.visitors_per_s is None and rate_per_s > 0.99 * RAMP_TO_PER_S / 2:
        notes.append(
            f"up to {RAMP_TO_PER_S:.0f} visitors/s no saturation was found, so this is half of that: give a --rate for more"
        )
    if growth is not None:
        last = cells[-1]
        cells[-1] = Cell(
            arm=last.arm,
            guard=last.guard,
            knob=last.knob,
            measures=last.measures,
            judgements=[*last.judgements, growth],
            generators=last.generators,
        )
    return Judged(cells=cells, figures=_figures(memory, cells), notes=notes)


def _cell(record: Record) -> Cell:
    looks = [o.lag_ms for o in record.operations if o.lag_ms is not None]
    latencies = [(o.return_ns - o.intended_ns) / 1e6 for o in record.operations]
    seconds = max(1e-9, (record.trial.ended_ns - record.trial.began_ns) / 1e9)
    lost = sum(o.outcome == "indeterminate" or o.status in (0, 500, 503) for o in record.operations)
    judgements = [checker(record.operations, record.events) for checker in CHECKERS]
    return Cell(
        arm=record.trial.arm,
        guard="on",
        knob=record.trial.knobs["period"],
        measures=[
            Measure(name="requests/s", value=len(record.operations) / seconds),
            Measure(name="events", value=len(record.events)),
            Measure(name="p50 ms", value=percentile(latencies, 50), digits=1),
            Measure(name="p99 ms", value=percentile(latencies, 99), digits=1),
            Measure(name="lag p50 ms", value=percentile(looks, 50), digits=1),
            Measure(name="lag p99 ms", value=percentile(looks, 99), digits=1),
            Measure(name="lost", value=lost),
        ],
        # What nobody did in a period proves nothing and is no hole.
        judgements=[each for each in judgements if not each.proves_nothing],
        generators=record.trial.generators,
    )


def _memory(trials: Sequence[Trial]) -> dict[str, list[tuple[float, float]]]:
    """Per process: (seconds, MB)."""
    found: dict[str, list[tuple[float, float]]] = {}
    for trial in trials:
        for at_s, sizes in trial.facts.get("memory_mb", []):
            for name, size_mb in sizes.items():
                found.setdefault(name, []).append((at_s, size_mb))
    return found


def _growth(
    memory: dict[str, list[tuple[float, float]]],
    lags: list[tuple[float, float]],
    *,
    hole: str | None,
) -> tuple[Judgement | None, list[str]]:
    """Whether something grows, judged over the second half of a run that is long enough; and every slope in words."""
    witnesses: list[Witness] = []
    notes: list[str] = []
    seconds = lags[-1][0] - lags[0][0] if lags else 0.0
    judged_at_all = seconds >= JUDGED_FROM_S
    for name, points in sorted(memory.items()):
        before, half = points[: len(points) // 2], points[len(points) // 2 :]
        size_mb, slope_mb = fmean(y for _, y in half), slope_per_hour(half)
        notes.append(
            f"memory of {name}: {size_mb:.0f} MB, {slope_mb:+.1f} MB per hour in the second half"
        )
        # What the half itself grew by, not what an hour would make of a wobble.
        grown_mb = slope_mb * (half[-1][0] - half[0][0]) / 3600
        # A garbage collector makes the teeth of a saw: what was had before is nothing new.
        new_mb = fmean(y for _, y in half[-(len(half) // 3) - 1 :]) - max(
            (y for _, y in before), default=0.0
        )
        if judged_at_all and min(grown_mb, new_mb) > max(GROWTH_MB_MIN, GROWTH_SHARE_MAX * size_mb):
            story = "{name} grew by {grown_mb} MB in the second half, from about {size_mb} MB"
            facts: dict[str, Fact] = {
                "name": name,
                "grown_mb": round(grown_mb, 1),
                "size_mb": round(size_mb),
            }
            witnesses.append(Witness(story=story, facts=facts, size=-grown_mb))
    half = lags[len(lags) // 2 :]
    grown_ms = slope_per_hour(half) * (half[-1][0] - half[0][0]) / 3600 if half else 0.0
    notes.append(f"lag p50 changed by {grown_ms:+.1f} ms in the second half")
    if judged_at_all and grown_ms > LAG_GROWTH_MS_MAX:
        story = "the lag (p50) grew by {grown_ms} ms in the second half"
        witnesses.append(Witness(story=story, facts={"grown_ms": round(grown_ms, 1)}))
    if not judged_at_all:
        notes.append(f"growth is judged from {JUDGED_FROM_S / 60:.0f} minutes on")
        return None, notes
    grows = judged("nothing_grows", opportunities=len(memory) + 1, witnesses=witnesses, hole=hole)
    return grows, notes


def _figures(memory: dict[str, list[tuple[float, float]]], cells: list[Cell]) -> list[Figure]:
    kinds: list[Kind] = ["a", "b", "c", "d", "on", "off", "theory"]
    drawn, key = [], []
    if memory:
        zero_s = min(points[0][0] for points in memory.values())
        for kind, (name, points) in zip(kinds, sorted(memory.items()), strict=False):
            shifted = [(at_s - zero_s, size_mb) for at_s, size_mb in points]
            drawn.append(Line(kind=kind, points=thinned(shifted)))
            key.append((kind, name))
    sizes = Figure(
        heading="Memory of every process",
        caption="Proportional set size; a flat line is what is wanted.",
        x_label="seconds",
        y_label="MB",
        drawn=list(drawn),
        key=[(str(kind), name) for kind, name in key],
    )
    lags = Figure(
        heading="Lag of the view",
        caption="As every answer said it, per period.",
        x_label="period",
        y_label="ms",
        drawn=[
            Line(kind="a", points=[(float(c.knob), c.measured("lag p50 ms")) for c in cells]),
            Line(kind="b", points=[(float(c.knob), c.measured("lag p99 ms")) for c in cells]),
        ],
        key=[("a", "p50"), ("b", "p99")],
    )
    return [sizes, lags] if memory else [lags]


SOAK = Scenario(
    number=0,
    name="soak",
    claim="Under mixed traffic nothing goes wrong, no process grows and the lag does not.",
    fault="None but time.",
    anomaly="things that cannot be",
    knob="period",
    arms=[Arm(name="guarded", guard="on")],
    plan=Plan(seconds=600),
    quick=Plan(seconds=20, period_s=10, visitors_per_s=20),
    measure=measure,
    judge=judge,
    kind="soak",
    target=True,
    left_out="The memory of your processes is not looked at, and nothing is injected: the lag is what the deployment has by itself.",
)
