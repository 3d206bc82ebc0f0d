"""Scenario 12, the sleeping projector: it stands still for seconds, is killed, or wakes up while another has taken its place.

Claim: an answer that was asked to be at most a second old is no older, or it is refused, whatever happens to the projector; and a projector
that slept never puts back what another has written since. Without the watermark a view says that it is of now, as long as somebody answers;
without compare-and-set on the checkpoint the one that wakes writes over newer rows.
"""

import asyncio
import contextlib
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from loadtest.checkers.honest_reads import Staleness, honest_reads, stalenesses
from loadtest.driver import Client
from loadtest.evidence.pages_read import Page, never_back
from loadtest.evidence.trial import Record
from loadtest.experiment.figures import Drawn, Figure, Line, Span, thinned
from loadtest.experiment.findings import Cell, Judged, Measure
from loadtest.experiment.laboratory import Laboratory
from loadtest.experiment.scenario import Arm, Scenario
from loadtest.system import System
from loadtest.system.part import Part
from loadtest.workloads.busy_night import Crowd, Night

NO_WATERMARK = Arm(name="no watermark", guard="off", settings={"PROJECTOR_GUARD": "no_watermark"})
NO_CHECKPOINT_GUARD = Arm(
    name="no compare-and-set", guard="off", settings={"PROJECTOR_GUARD": "no_checkpoint_guard"}
)
EVERY_GUARD = Arm(name="every guard", guard="on")
ARMS = [NO_WATERMARK, NO_CHECKPOINT_GUARD, EVERY_GUARD]

ASLEEP, KILLED, TWO = "stands still", "is killed", "sleeps as one of two"
FAULTS = {
    NO_WATERMARK.name: (ASLEEP,),
    NO_CHECKPOINT_GUARD.name: (TWO,),
    EVERY_GUARD.name: (ASLEEP, KILLED, TWO),
}

UNITS = 1_000_000
LEAD_S, TAIL_S = 0.7, 1.5
"""How long everything is well before, and how long it is looked at afterwards."""
LISTED_WITHIN_S = 6.0
FRESH_MS = 500.0
"""A view that is no further behind is well again."""


class Nights(Struct, frozen=True, kw_only=True):
    """How long the projector stands still, which faults there are, and who is there meanwhile.

    Of two projectors the second is late by `colleague_lag_ms`: in step, they would seldom be caught writing over each other.
    """

    nap_s: float
    faults: tuple[str, ...] = (ASLEEP, KILLED, TWO)
    colleague_lag_ms: int = 250
    crowd: Crowd = Crowd()


async def measure(lab: Laboratory, arm: Arm, plan: Nights) -> None:
    """One system per arm whose projectors are ours, to be hurt; people book all the time."""
    lab.step(f"{arm.name}: starting the system")
    projectors: list[Part] = []

    async def beside(system: System) -> None:
        projectors.append(await system.part("projector", until_ready=False))

    async with lab.system(arm, parts="api,relay,queries", beside=beside) as system:
        for fault in FAULTS[arm.name]:
            if fault not in plan.faults:
                continue
            if fault == TWO:
                late = {"PROJECTOR_INJECTED_LAG_MS": str(plan.colleague_lag_ms)}
                projectors.append(await system.part("projector", late))
            opened = await system.open_resource(
                capacities=[UNITS], rng=lab.rng("slot", arm.name, fault)
            )
            lab.step(f"{arm.name}: the projector {fault}")
            async with (
                lab.trial(system, arm, {"fault": fault}, slot_ids=opened.slot_ids) as record,
                system.client() as client,
            ):
                night = Night(client, record, lab, opened, plan.crowd)
                async with night.people():
                    await _hurt(system, client, night, projectors, fault, arm=arm, plan=plan)


async def _hurt(
    system: System,
    client: Client,
    night: Night,
    projectors: Sequence[Part],
    fault: str,
    *,
    arm: Arm,
    plan: Nights,
) -> None:
    """Does it, and stays to see how it goes on."""
    await asyncio.sleep(LEAD_S)
    if fault == KILLED:
        with system.faults.marked("killed, and started again"):
            await projectors[0].kill()
            await projectors[0].start()
        await asyncio.sleep(TAIL_S)
        return
    victim = projectors[0]
    if fault == TWO and arm.guard == "on":
        victim = await _the_one_that_works(client, projectors)
    with contextlib.ExitStack() as asleep:
        # In the middle of a batch it would hold the checkpoint's lock, and nobody could take its place.
        async with night.hush():
            asleep.enter_context(system.faults.marked("asleep"))
            system.faults.pause(victim.pid)
        await asyncio.sleep(plan.nap_s)
        system.faults.resume(victim.pid)
    await asyncio.sleep(TAIL_S)


class _Projector(Struct):
    name: str
    state: str


class _Consistency(Struct):
    projectors: list[_Projector]


async def _the_one_that_works(client: Client, projectors: Sequence[Part]) -> Part:
    """Of two projectors, the one whose colleague stands by; where nobody does both work, which the readers will see, and either will do."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LISTED_WITHIN_S):
            while True:
                exchange = await client.request("GET", "/v1/consistency")
                listed = msgspec.json.decode(exchange.body, type=_Consistency).projectors
                standby = {
                    each.name.rpartition("-")[2] for each in listed if each.state == "standby"
                }
                working = [each for each in projectors if str(each.pid) not in standby]
                if len(working) == 1:
                    return working[0]
                await asyncio.sleep(0.1)
    return projectors[0]


def judge(records: Sequence[Record], plan: Nights) -> Judged:  # noqa: ARG001  every scenario is judged with its plan
    """One cell per arm and fault: answers older than asked for, and readers who saw the view go back."""
    drawn = [figure for record in records if (figure := _saw_tooth(record)) is not None]
    return Judged(cells=[_cell(record) for record in records], figures=drawn)


def _cell(record: Record) -> Cell:
    arm = next(each for each in ARMS if each.name == record.trial.arm)
    pages = msgspec.convert(record.trial.facts["pages"], list[Page])
    books = record.of("book")
    bounded = [o for o in record.of("look") if o.condition is not None]
    answered = [s.stale_ms for s in stalenesses([*bounded, *books], record.events)]
    old = honest_reads([*bounded, *books], record.events)
    lone = record.trial.knobs["fault"] == TWO and arm is EVERY_GUARD
    alone = "nobody took the sleeper's place, so it could put nothing back"
    back = never_back(pages, hole=alone if lone and not taken_over(record) else None)
    # Each control goes without one guard, and has to show what that one is for.
    judgements = {NO_WATERMARK.name: [old], NO_CHECKPOINT_GUARD.name: [back]}
    return Cell(
        arm=arm.name,
        guard=arm.guard,
        knob=record.trial.knobs["fault"],
        measures=[
            Measure(name="behind ms", value=max((b.stale_ms for b in behind(record)), default=0.0)),
            Measure(name="served ms", value=max(answered, default=0.0)),
            Measure(name="told ms", value=max((o.lag_ms or 0.0 for o in bounded), default=0.0)),
            Measure(name="412s", value=sum(o.status == 412 for o in bounded)),
            Measure(name="back", value=back.violations),
            Measure(name="well ms", value=recovery_ms(record)),
            Measure(name="pages", value=len(pages), detail=True),
        ],
        judgements=judgements.get(arm.name, [old, back]),
        must_show=arm.guard == "off",
        generators=record.trial.generators,
    )


def behind(record: Record) -> list[Staleness]:
    """How far the view really was behind, by those who took what there was, in their order."""
    plain = [o for o in record.of("look") if o.condition is None]
    seen = stalenesses([*plain, *record.of("book")], record.events)
    return sorted(seen, key=lambda each: each.read.invoke_ns)


def taken_over(record: Record) -> bool:
    """Whether the view was fresh again while the sleeper slept."""
    naps = [(mark.at_ns + 1e9, mark.until_ns or mark.at_ns) for mark in record.trial.marks]
    return any(
        begins_ns < each.read.invoke_ns < ends_ns and each.stale_ms < FRESH_MS
        for begins_ns, ends_ns in naps
        for each in behind(record)
    )


def recovery_ms(record: Record) -> float:
    """From the end of the nap until the view is fresh again; from the kill, or the beginning of the nap, where somebody else takes over."""
    if not record.trial.marks:
        return 0.0
    mark = record.trial.marks[0]
    from_ns = (mark.until_ns or mark.at_ns) if record.trial.knobs["fault"] == ASLEEP else mark.at_ns
    seen = behind(record)
    late = [
        n
        for n, each in enumerate(seen)
        if each.stale_ms > FRESH_MS and each.read.invoke_ns > mark.at_ns
    ]
    if not late:
        return 0.0
    well = seen[min(late[-1] + 1, len(seen) - 1)]
    return max(0.0, (well.read.invoke_ns - from_ns) / 1e6)


def _saw_tooth(record: Record) -> Figure | None:
    """How far behind the view was, and how old it said it was."""
    zero_ns = record.trial.began_ns
    seen = behind(record)
    if not seen:
        return None
    really = [((b.read.invoke_ns - zero_ns) / 1e9, b.stale_ms) for b in seen]
    # Also a refusal tells the age it refuses.
    said = [
        ((o.invoke_ns - zero_ns) / 1e9, o.lag_ms)
        for o in sorted(record.of("look"), key=lambda o: o.invoke_ns)
        if o.condition is not None and o.lag_ms is not None
    ]
    faults: list[Drawn] = [
        Span(
            kind="off",
            from_x=(mark.at_ns - zero_ns) / 1e9,
            to_x=((mark.until_ns or mark.at_ns) - zero_ns) / 1e9,
            text=mark.what,
        )
        for mark in record.trial.marks
    ]
    off = record.trial.arm != EVERY_GUARD.name
    return Figure(
        heading=f"{record.trial.arm.capitalize()}: the projector {record.trial.knobs['fault']}",
        caption="An age that is told must never be less than what the view is really behind.",
        x_label="seconds",
        y_label="ms",
        drawn=[
            *faults,
            Line(kind="off" if off else "on", points=thinned(really)),
            Line(kind="theory", points=thinned(said), dashed=True),
        ],
        key=[
            ("off" if off else "on", "really behind"),
            ("theory", "age as told to who asks for a bound"),
        ],
    )


SCENARIO = Scenario(
    number=12,
    name="sleeping_projector",
    claim="What was asked to be at most a second old is no older or refused, and a projector that slept puts nothing back.",
    fault="The projector stands still for seconds, is killed, or wakes up when another, slower one has taken its place.",
    anomaly="answers older than asked for, or views that went back",
    knob="fault",
    arms=ARMS,
    plan=Nights(nap_s=5),
    quick=Nights(nap_s=5, faults=(ASLEEP, TWO)),
    measure=measure,
    judge=judge,
)
