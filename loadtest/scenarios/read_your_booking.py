"""Scenario 6, read your own booking: who looks for what they just booked, and does not find it.

Claim: with the token of the write, a read shows the write or says that it cannot; without, it misses it as often as the view's lag outlasts the
gap between the two, P(S > g). The lag is made wide by pausing the projector again and again, and is measured apart from the reads it is held
against: a live stream of the same node tells when each position arrived. Beforehand everybody has a seat of their own, new to the node.
"""

import asyncio
import contextlib
import time
from bisect import bisect_left
from collections.abc import Sequence
from statistics import fmean

import msgspec
from msgspec import Struct

from loadtest.checkers.read_your_writes import read_your_writes
from loadtest.driver import open_loop, poisson
from loadtest.driver.event_stream import events
from loadtest.evidence.trial import Record
from loadtest.experiment.charts import by_knob, survival
from loadtest.experiment.figures import Dots, Figure, Line
from loadtest.experiment.findings import Cell, Judged, Measure, Theory
from loadtest.experiment.laboratory import Laboratory, Recorder
from loadtest.experiment.scenario import Arm, Scenario
from loadtest.failures import CannotRunError
from loadtest.history import Operation
from loadtest.system import System
from loadtest.theory.read_your_writes import extra_wait_ms, miss_share
from loadtest.workloads.meanwhile import meanwhile
from loadtest.workloads.own_seats import OWN_SEAT, book_own_seats, judge_own_seats
from loadtest.workloads.person import Person

WITHOUT = Arm(name="reads without a token", guard="off")
WITH = Arm(name="reads with the token of the booking", guard="on")

UNITS = 1_000_000
BAND_PERCENT = 5.0
"""How far the share of missed bookings may lie from the lag's survival curve."""
BAND_WAIT_MS = 10.0
WAIT_MAX_S = 5


class Gaps(Struct, frozen=True, kw_only=True):
    """How many people, and how long after booking each looks; gaps are dealt in turn."""

    gaps_ms: list[int]
    people_per_s: float
    seconds: float
    injected_lag_ms: int = 50
    pause_ms: int = 250
    pause_every_ms: int = 500
    must_show_below_ms: int = 101


class _Moved(Struct, frozen=True):
    position: int


async def measure(lab: Laboratory, arm: Arm, plan: Gaps) -> None:
    """Everybody books, waits for a gap and looks; the projector is paused again and again meanwhile."""
    lab.step(f"{arm.name}: starting the system")
    settings = {"PROJECTOR_INJECTED_LAG_MS": str(plan.injected_lag_ms)}
    async with lab.system(arm, settings) as system, system.client() as client:
        await book_own_seats(lab, system, arm, lag_ms=plan.injected_lag_ms)
        rng = lab.rng("slot")
        opened = await system.open_resource(capacities=[UNITS], rng=rng)
        slot_id = opened.slot_ids[0]
        async with lab.trial(system, arm, {"gap ms": "dealt"}, slot_ids=[slot_id]) as record:
            lab.step(
                f"{arm.name}: {plan.people_per_s:.0f} people a second for {plan.seconds:.0f} s"
            )

            async def visit(number: int, intended_ns: int) -> None:
                person = Person(client, record, number, lab.rng("person", number))
                booked = await person.book(slot_id, intended_ns=intended_ns)
                if booked.outcome != "ok" or booked.booking_id is None:
                    return
                await _until(booked.return_ns + gap_ms(number, plan) * 1_000_000)
                with_token = arm.guard == "on"
                await person.read_booking(
                    booked.booking_id,
                    token=booked.token_out if with_token else None,
                    wait_s=WAIT_MAX_S if with_token else None,
                )

            async with contextlib.AsyncExitStack() as beside:
                arrivals: list[tuple[int, int]] = []
                await beside.enter_async_context(meanwhile(_listen(system, slot_id, arrivals)))
                if lab.target is None:
                    await beside.enter_async_context(
                        meanwhile(_pause_again_and_again(lab, system, plan))
                    )
                people = poisson(plan.people_per_s, lab.rng("people"))
                record.offered(await open_loop(people, visit, seconds=plan.seconds))
                await _until_heard_of_all(record, arrivals)
            record.note(arrivals=arrivals)


def gap_ms(number: int, plan: Gaps) -> int:
    """The gap of a person."""
    return plan.gaps_ms[number % len(plan.gaps_ms)]


async def _until(moment_ns: int) -> None:
    left_s = (moment_ns - time.monotonic_ns()) / 1e9
    if left_s > 0:
        await asyncio.sleep(left_s)


async def _listen(system: System, slot_id: str, arrivals: list[tuple[int, int]]) -> None:
    """Notes when each position reached the node, by its live stream, until cancelled.

    Raises:
        CannotRunError: the stream ended before.
    """
    path = f"/v1/availability/stream?slot_id={slot_id}"
    async for event in events(system.url, path, headers=system.authorization):
        if event.event in ("snapshot", "changes"):
            position = msgspec.json.decode(event.data, type=_Moved).position
            arrivals.append((position, time.monotonic_ns()))
    raise CannotRunError("The live stream that tells when bookings arrive ended: run it again.")


async def _pause_again_and_again(lab: Laboratory, system: System, plan: Gaps) -> None:
    """Pauses the projector, never so long that anybody takes its place, until cancelled."""
    rng, pid = lab.rng("pauses"), system.pid_of("projector")
    while True:
        await asyncio.sleep(rng.uniform(0.5, 1.5) * (plan.pause_every_ms - plan.pause_ms) / 1e3)
        with system.faults.marked("projector paused"):
            system.faults.pause(pid)
            try:
                await asyncio.sleep(plan.pause_ms / 1e3)
            finally:
                system.faults.resume(pid)


async def _until_heard_of_all(record: Recorder, arrivals: list[tuple[int, int]]) -> None:
    """The last bookings arrive a little later than the last people leave."""
    last = max((o.position or 0 for o in record.operations if o.op == "book"), default=0)
    deadline_s = time.monotonic() + WAIT_MAX_S
    while not arrivals or arrivals[-1][0] < last:
        if time.monotonic() > deadline_s:
            return  # those that did not arrive have no S; nobody is convicted by it
        await asyncio.sleep(0.02)


def judge(records: Sequence[Record], plan: Gaps) -> Judged:
    """One cell per arm and gap: the share of missed bookings beside P(S > g), the wait beside E[(S − g)⁺]."""
    cells, lags_of = [], {}
    for record in records:
        arm = WITH if record.trial.arm == WITH.name else WITHOUT
        if record.trial.knobs["gap ms"] == OWN_SEAT:
            cells.append(judge_own_seats(record, arm))
            continue
        lags_ms = lags_of[arm.name] = visible_after_ms(record)
        for gap in plan.gaps_ms:
            theirs = [o for o in record.operations if gap_ms(o.journey, plan) == gap]
            if any(o.op == "read_booking" for o in theirs):
                cells.append(_cell(arm, gap, lags_ms, operations=theirs, record=record, plan=plan))
    return Judged(cells=cells, figures=_figures([c for c in cells if c.knob != OWN_SEAT], lags_of))


def visible_after_ms(record: Record) -> list[float]:
    """S of every booking: from its answer until its position had reached the node; at least 0."""
    arrivals = [(int(position), int(at_ns)) for position, at_ns in record.trial.facts["arrivals"]]
    positions = [position for position, _ in arrivals]
    lags = []
    for booked in record.of("book"):
        if booked.outcome == "ok" and booked.position is not None:
            at = bisect_left(positions, booked.position)
            if at < len(arrivals):
                lags.append(max(0.0, (arrivals[at][1] - booked.return_ns) / 1e6))
    return lags


def _cell(
    arm: Arm,
    gap: int,
    lags_ms: list[float],
    *,
    operations: list[Operation],
    record: Record,
    plan: Gaps,
) -> Cell:
    judgement = read_your_writes(operations, record.events)
    reads = [o for o in operations if o.op == "read_booking"]
    answered = {o.journey: o.return_ns for o in operations if o.op == "book"}
    # Without a token the view is looked at somewhere between question and answer: the middle is the
    # best guess. With one, waiting begins with the question.
    looked_ns = {
        o.journey: o.invoke_ns if o.token_in else (o.invoke_ns + o.return_ns) / 2 for o in reads
    }
    gaps_ms = [(at_ns - answered[who]) / 1e6 for who, at_ns in looked_ns.items()]
    really_ms = fmean(gaps_ms)
    missed = 100 * judgement.violations / max(1, judgement.opportunities)
    waited_ms = fmean(o.wait_ms or 0.0 for o in reads)
    theory = None
    if lags_ms and arm is WITHOUT:
        expected = 100 * miss_share(lags_ms, gaps_ms)
        theory = Theory(of="missed %", formula="P(S > g)", expected=expected, band=BAND_PERCENT)
    elif lags_ms:
        expected = extra_wait_ms(lags_ms, really_ms)
        theory = Theory(of="wait ms", formula="E[(S−g)⁺]", expected=expected, band=BAND_WAIT_MS)
    return Cell(
        arm=arm.name,
        guard=arm.guard,
        knob=gap,
        measures=[
            Measure(name="tries", value=len(reads)),
            Measure(name="missed %", value=missed, digits=1),
            Measure(name="wait ms", value=waited_ms, digits=1),
            Measure(name="gap really ms", value=really_ms, digits=1, detail=True),
        ],
        theory=theory,
        judgements=[judgement],
        must_show=arm.guard == "off" and gap < plan.must_show_below_ms,
        generators=record.trial.generators,
    )


def _figures(cells: list[Cell], lags_of: dict[str, list[float]]) -> list[Figure]:
    if not cells:
        return []
    shares = by_knob(
        cells,
        "missed %",
        heading="Bookings that their own bookers did not find",
        caption="Without a token the share falls with the gap as the lag's survival curve does; with it nobody misses anything.",
        knob="g, gap between booking and looking (ms)",
        unit="% of looks",
        theory="P(S > g)",
        y_max=100,
    )
    waits = by_knob(
        [cell for cell in cells if cell.guard == "on"],
        "wait ms",
        heading="What the token costs",
        caption="A read with a token waits for what is still under way, and no longer: E[(S − g)⁺].",
        knob="g, gap between booking and looking (ms)",
        unit="mean wait (ms)",
        theory="E[(S−g)⁺]",
    )
    lags = lags_of.get(WITHOUT.name) or next(iter(lags_of.values()))
    dots = [
        (c.measured("gap really ms"), c.measured("missed %") / 100, f"g = {c.knob} ms")
        for c in cells
        if c.guard == "off"
    ]
    curve = Figure(
        heading="The lag, measured by the live stream, and the misses, counted by readers",
        caption="Two measurements that know nothing of each other.",
        x_label="time after the booking's answer (ms)",
        y_label="share",
        drawn=[
            Line(kind="theory", points=survival(lags), dashed=True),
            Dots(kind="off", points=dots),
        ],
        key=[("theory", "P(S > t)"), ("off", "missed")],
        y_max=1,
    )
    return [shares, curve, *([waits] if any(c.guard == "on" for c in cells) else [])]


SCENARIO = Scenario(
    number=6,
    name="read_your_booking",
    claim="With the token of the write a read never misses it; without, it misses it with the probability that the lag outlasts the gap.",
    fault="The view is held back, and the projector paused again and again.",
    anomaly="bookings that their own bookers did not find",
    knob="gap ms",
    arms=[WITHOUT, WITH],
    # None equals the injected lag: there the curve falls by tens of points within the millisecond by which the live stream, which
    # measures S, hears later than the tables, which are looked at.
    plan=Gaps(
        gaps_ms=[0, 25, 75, 100, 150, 200, 250, 300, 400, 500], people_per_s=1000, seconds=21
    ),
    quick=Gaps(gaps_ms=[0, 100, 250, 500], people_per_s=300, seconds=3),
    measure=measure,
    judge=judge,
    target=True,
    left_out="Nothing is paused and nothing held back: the lag is what the deployment has by itself.",
)
