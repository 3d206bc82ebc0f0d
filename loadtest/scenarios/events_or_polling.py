"""Scenario 17, events or polling: the same people meet a view that is told of changes, and views that ask for them every now and then.

A comparison without a verdict on which is better: how late reads are, by the log, and what staying in step costs the database, while nothing
happens and while people book. Both are the product, so what reads show must be true in every arm. Polling needs no relay, and has none here.
"""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean

import msgspec
from msgspec import Struct

from loadtest.checkers.honest_reads import Staleness, honest_reads, stalenesses
from loadtest.checkers.integrity import integrity
from loadtest.driver import Client, open_loop, poisson
from loadtest.driver.percentile import percentile
from loadtest.evidence.trial import Record
from loadtest.experiment.charts import named_arms, survival
from loadtest.experiment.figures import Dots, Figure, Line
from loadtest.experiment.findings import Cell, Judged, Measure
from loadtest.experiment.laboratory import Laboratory, Recorder
from loadtest.experiment.scenario import Arm, Scenario
from loadtest.instruments.server_load import Gauge, Load, load_between
from loadtest.theory.stale_reads import stale_share
from loadtest.workloads.person import Person


def _polling(poll_ms: int) -> Arm:
    settings = {"PROJECTOR_SYNC": "polling", "PROJECTOR_POLL_MS": str(poll_ms)}
    return Arm(name=f"polling {poll_ms} ms", guard="on", settings=settings)


EVENTS = Arm(name="events", guard="on")
ARMS: Mapping[str, tuple[Arm, int]] = {
    arm.name: (arm, poll_ms)
    for arm, poll_ms in [(EVENTS, 0), *((_polling(ms), ms) for ms in (50, 500, 5000))]
}
"""Each arm with its time between two looks."""

UNITS = 1_000_000
WITHOUT_RELAY = "api,projector,queries"
SHORTEST_MS = 1.0
"""Where the axis of the plot begins."""
AGES_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
"""Reads whose answers said they were about as old are counted together, so many of them at least."""
COUNTED_TOGETHER_MIN = 30


class Crowd(Struct, frozen=True, kw_only=True):
    """How many book and look each second, and for how long: quietly, settling, and counted (never shorter than a poll).

    Arms that poll less often than every `poll_max_ms` are left out.
    """

    bookings_per_s: float
    looks_per_s: float
    quiet_s: float
    settle_s: float
    seconds: float
    poll_max_ms: int = 5000


async def measure(lab: Laboratory, arm: Arm, plan: Crowd) -> None:
    """First nothing happens, then people come; what both cost is read meanwhile."""
    poll_s = ARMS[arm.name][1] / 1000
    if poll_s * 1000 > plan.poll_max_ms:
        return
    settle_s, seconds = plan.settle_s + poll_s, max(plan.seconds, poll_s)
    lab.step(f"{arm.name}: starting the system")
    parts = WITHOUT_RELAY if poll_s else None
    async with lab.system(arm, parts=parts) as system, system.client() as client:
        gauge = Gauge(system)
        lab.step(f"{arm.name}: nothing happens for {plan.quiet_s:g} s")
        await asyncio.sleep(plan.settle_s)
        silence = await gauge.read()
        await asyncio.sleep(plan.quiet_s)
        quiet = load_between(silence, await gauge.read())
        # A node that polls knows the slot right after a poll: people come just then, so all that it shows after the next one is of their time.
        opened = await system.open_resource(capacities=[UNITS], rng=lab.rng("slot", arm.name))
        slot_id = opened.slot_ids[0]
        lab.step(f"{arm.name}: people for {settle_s + seconds:.0f} s")
        async with lab.trial(system, arm, {}, slot_ids=[slot_id]) as record:
            async with asyncio.TaskGroup() as tasks:
                coming = tasks.create_task(
                    _people(lab, client, record, slot_id, plan, seconds=settle_s + seconds)
                )
                await asyncio.sleep(settle_s)
                begun = await gauge.read()
                await asyncio.sleep(seconds - (begun.at_ns - begun.asked_ns) / 1e9)
                busy = load_between(begun, await gauge.read())
                await coming
            record.note(
                quiet=msgspec.to_builtins(quiet),
                busy=msgspec.to_builtins(busy),
                counted_from_ns=begun.at_ns,
            )


async def _people(
    lab: Laboratory, client: Client, record: Recorder, slot_id: str, plan: Crowd, *, seconds: float
) -> None:
    """The same people in every arm: each books a unit, or looks."""

    async def visit(number: int, intended_ns: int) -> None:
        rng = lab.rng("person", number)
        person = Person(client, record, number, rng)
        if rng.random() * (plan.bookings_per_s + plan.looks_per_s) < plan.looks_per_s:
            await person.look(slot_id, intended_ns=intended_ns)
        else:
            await person.book(slot_id, intended_ns=intended_ns)

    people = poisson(plan.bookings_per_s + plan.looks_per_s, lab.rng("people"))
    record.offered(await open_loop(people, visit, seconds=seconds))


def judge(records: Sequence[Record], plan: Crowd) -> Judged:
    """One cell per arm: how late its reads were, and what it cost."""
    counted = {record.trial.arm: _counted(record) for record in records}
    cells = [_cell(record, counted[record.trial.arm]) for record in records]
    if not cells:
        return Judged(cells=[])
    notes = ["polling needs no relay and runs without; NATS idles there"]
    figures = [
        _lateness(cells, counted),
        _how_often_stale(cells, counted, plan.bookings_per_s),
        _trade_off(cells),
    ]
    return Judged(cells=cells, figures=figures, notes=notes)


def _counted(record: Record) -> list[Staleness]:
    """How late each read was, of those that count."""
    from_ns = record.trial.facts["counted_from_ns"]
    every = stalenesses(record.operations, record.events)
    return [each for each in every if each.read.invoke_ns >= from_ns]


def _cell(record: Record, reads: Sequence[Staleness]) -> Cell:
    quiet = msgspec.convert(record.trial.facts["quiet"], Load)
    busy = msgspec.convert(record.trial.facts["busy"], Load)
    late_ms = [each.stale_ms for each in reads]
    booked = [o for o in record.of("book") if o.outcome == "ok"]
    return Cell(
        arm=record.trial.arm,
        guard="on",
        knob="",
        measures=[
            Measure(name="stale p50 ms", value=percentile(late_ms, 50), digits=1),
            Measure(name="stale p99 ms", value=percentile(late_ms, 99), digits=1),
            Measure(name="busy db tx/s", value=busy.transactions_per_s),
            Measure(name="busy db CPU ms/s", value=busy.cpu("postgres")),
            Measure(name="quiet db CPU ms/s", value=quiet.cpu("postgres")),
            Measure(name="reads", value=len(reads), detail=True),
            Measure(name="bookings", value=len(booked), detail=True),
            Measure(name="stale mean ms", value=_mean(late_ms), digits=1, detail=True),
            Measure(
                name="versions behind, mean",
                value=_mean([each.versions_behind for each in reads]),
                digits=1,
                detail=True,
            ),
            Measure(
                name="said to be old p50 ms",
                value=percentile([each.read.lag_ms or 0.0 for each in reads], 50),
                digits=1,
                detail=True,
            ),
            *_cpu("busy", busy),
            *_cpu("quiet", quiet),
        ],
        judgements=[
            honest_reads(record.operations, record.events),
            integrity(record.operations, record.events),
        ],
        generators=record.trial.generators,
    )


def _cpu(when: str, load: Load) -> list[Measure]:
    parts = {
        "projector": ("projector",),
        "relay and NATS": ("relay", "nats-server"),
        "api and queries": ("api and queries",),
    }
    return [
        Measure(name=f"{when} {name} CPU ms/s", value=load.cpu(*of), digits=1, detail=True)
        for name, of in parts.items()
    ]


def _mean(values: Sequence[float]) -> float:
    return fmean(values) if values else 0.0


def _lateness(cells: Sequence[Cell], counted: Mapping[str, Sequence[Staleness]]) -> Figure:
    drawn = []
    for arm, kind, _ in named_arms(cells):
        curve = survival([max(SHORTEST_MS, each.stale_ms) for each in counted[arm]])
        drawn.append(Line(kind=kind, points=[(max(SHORTEST_MS, x), y) for x, y in curve]))
    return Figure(
        heading="How late reads are",
        caption="The share of reads whose next version had certainly been committed longer ago than t. Two looks stand between a booking and who reads it: the projector's at the log and the node's at the read model.",
        x_label="t (ms)",
        y_label="share of reads staler than t",
        drawn=list(drawn),
        key=[(kind, label) for _, kind, label in named_arms(cells)],
        y_max=1,
        x_log=True,
    )


def _how_often_stale(
    cells: Sequence[Cell], counted: Mapping[str, Sequence[Staleness]], writes_per_s: float
) -> Figure:
    dots = [
        Dots(
            kind=kind,
            points=[
                (
                    age_ms,
                    share,
                    f"{label}\nsaid to be {age_ms:.0f} ms old\n{share:.0%} of {n:,} stale",
                )
                for age_ms, share, n in stale_by_age(counted[arm])
            ],
        )
        for arm, kind, label in named_arms(cells)
    ]
    theory = Line(
        kind="theory",
        points=[(float(age), stale_share(writes_per_s, [age])) for age in AGES_MS],
        dashed=True,
    )
    return Figure(
        heading="How often a read is stale",
        caption=f"Of reads said to be S old, 1 − e^(−wS) would be stale if they were; w = {writes_per_s:g} bookings per second. An age is an upper bound, and a read counts as stale only where that is certain, so points lie on the line or below it.",
        x_label="age as the answer said it, S (ms)",
        y_label="share of reads that were stale",
        drawn=[theory, *dots],
        key=[("theory", "1 − e^(−wS)"), *((k, label) for _, k, label in named_arms(cells))],
        y_max=1,
        x_log=True,
    )


def stale_by_age(reads: Sequence[Staleness]) -> list[tuple[float, float, int]]:
    """Mean age as told (ms), share of stale reads and number of reads, for reads of about the same age."""
    found = []
    for youngest_ms, oldest_ms in pairwise(AGES_MS):
        of_age = [r for r in reads if youngest_ms <= (r.read.lag_ms or 0.0) < oldest_ms]
        if len(of_age) >= COUNTED_TOGETHER_MIN:
            age_ms = fmean(each.read.lag_ms or 0.0 for each in of_age)
            stale = sum(each.versions_behind > 0 for each in of_age)
            found.append((age_ms, stale / len(of_age), len(of_age)))
    return found


def _trade_off(cells: Sequence[Cell]) -> Figure:
    dots = []
    for arm, kind, label in named_arms(cells):
        (cell,) = [cell for cell in cells if cell.arm == arm]
        late_ms = max(SHORTEST_MS, cell.measured("stale mean ms"))
        for when in ("busy", "quiet"):
            cost = cell.measured(f"{when} db CPU ms/s")
            tip = f"{label}, {when}\n{late_ms:.0f} ms late in the mean\n{cost:.0f} ms of CPU per second in the database"
            dots.append(Dots(kind=kind, points=[(late_ms, cost, tip)], hollow=when == "quiet"))
    return Figure(
        heading="What freshness costs the database",
        caption="Filled: while people book and look. Hollow: while nothing happens. Further left is fresher, further down is cheaper.",
        x_label="mean staleness of a read (ms)",
        y_label="CPU of Postgres (ms per second)",
        drawn=list(dots),
        key=[(kind, label) for _, kind, label in named_arms(cells)],
        x_log=True,
    )


SCENARIO = Scenario(
    number=17,
    name="events_or_polling",
    claim="What it costs to be told of changes, and what to ask for them: staleness of reads and load of the database.",
    fault="None: the same people book and look in every arm.",
    anomaly="reads or bookings that contradict the log",
    knob="",
    arms=[arm for arm, _ in ARMS.values()],
    plan=Crowd(bookings_per_s=200, looks_per_s=200, quiet_s=2, settle_s=0.4, seconds=3),
    quick=Crowd(
        bookings_per_s=100,
        looks_per_s=100,
        quiet_s=0.3,
        settle_s=0.2,
        seconds=1,
        poll_max_ms=500,
    ),
    measure=measure,
    judge=judge,
    kind="comparison",
)
