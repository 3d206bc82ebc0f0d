"""Scenario 10, duplicates and disorder: every message comes twice, many before their predecessors, and the relay dies before it hears that one was kept.

Claim: when all is quiet again the read model is the fold of the log, because rows carry whole states with versions and only a newer one is taken.
The control arm counts what is taken and given back, whatever arrives and however often; its numbers are wrong, and stay wrong when every message
comes once and in order again.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence

import msgspec
from msgspec import Struct

from loadtest.checkers.no_drift import no_drift
from loadtest.driver import Client, open_loop, poisson
from loadtest.evidence.trial import Record
from loadtest.experiment.charts import named_arms
from loadtest.experiment.figures import Dots, Drawn, Figure
from loadtest.experiment.findings import Cell, Judged, Measure
from loadtest.experiment.laboratory import Laboratory, Recorder
from loadtest.experiment.scenario import Arm, Scenario
from loadtest.faults import NatsProxy
from loadtest.history import FinalSlot, LoggedEvent
from loadtest.system import System
from loadtest.system.inventory import at_rest
from loadtest.system.part import Part
from loadtest.workloads.meanwhile import meanwhile
from loadtest.workloads.person import Person

ARRIVALS = Arm(
    name="the last arrival wins", guard="off", settings={"PROJECTOR_GUARD": "last_arrival_wins"}
)
VERSIONS = Arm(name="a newer version only", guard="on")

CAPACITY = 10_000
TWICE, SHUFFLED, BOTH = "all twice", "shuffled", "twice and shuffled"
WATCH_EVERY_S = 0.05
RELAY_BACK_WITHIN_S = 10.0


class Disorder(Struct, frozen=True, kw_only=True):
    """How many people book, confirm, release and cancel on so many slots, and at which append the relay dies each time."""

    faults: list[str]
    people_per_s: float
    seconds: float
    slots: int = 40
    dies_at_append: int = 30


async def measure(lab: Laboratory, arm: Arm, plan: Disorder) -> None:
    """Every fault on slots of its own; the projector hears of all of them over a wire that repeats and shuffles."""
    lab.step(f"{arm.name}: starting the system")
    wires: list[NatsProxy] = []
    relays: list[Part] = []
    deaths_s: list[float] = []

    async def around_the_wire(system: System) -> None:
        wire = await system.faults.nats_proxy(system.run_file().nats_url, rng=lab.rng("wire"))
        wires.append(wire)
        mortal = {"BOOKING_FAULT": f"kill_in_append:{plan.dies_at_append}"}
        relays.append(await system.part("relay", mortal, until_ready=False))
        await system.part("projector", {"PROJECTOR_NATS_URL": wire.url}, until_ready=False)

    async with (
        lab.system(arm, parts="api,queries", beside=around_the_wire) as system,
        system.client() as client,
        meanwhile(_dies_and_comes_back(relays[0], deaths_s)),
    ):
        for fault in plan.faults:
            opened = await system.open_resource(
                capacities=[CAPACITY] * plan.slots, rng=lab.rng("slots", arm.name, fault)
            )
            lab.step(f"{arm.name}: {fault}")
            async with lab.trial(system, arm, {"fault": fault}, slot_ids=opened.slot_ids) as record:
                async with _disorder(system, wires[0], fault, record, deaths_s):
                    await _business(lab, client, record, opened.slot_ids, fault=fault, plan=plan)
                    await at_rest(client, opened.slot_ids[0])
                finals = await _calm(lab, client, record, opened.slot_ids)
                record.note(finals=msgspec.to_builtins(finals))


@contextlib.asynccontextmanager
async def _disorder(
    system: System, wire: NatsProxy, fault: str, record: Recorder, deaths_s: Sequence[float]
) -> AsyncIterator[None]:
    """Hurts the wire, and counts what that did; the relay dies by itself."""
    repeated, out_of_order, died = wire.repeated, wire.out_of_order, len(deaths_s)
    try:
        with system.faults.marked(fault):
            wire.repeat = 0.0 if fault == SHUFFLED else 1.0
            wire.shuffle = fault != TWICE
            yield
            # A relay that died takes a moment to come back: what it has yet to say is to come in disorder, too.
            ends_s = time.monotonic() + RELAY_BACK_WITHIN_S
            while wire.repeated + wire.out_of_order == repeated + out_of_order:
                if time.monotonic() > ends_s:
                    break
                await asyncio.sleep(WATCH_EVERY_S)
    finally:
        wire.heal()
        record.note(
            repeated=wire.repeated - repeated,
            out_of_order=wire.out_of_order - out_of_order,
            deaths=len(deaths_s) - died,
        )


async def _dies_and_comes_back(relay: Part, deaths_s: list[float]) -> None:
    """Notes when the fault has killed it, and starts it again, each time.

    Raises:
        CannotRunError: one died of something else.
    """
    while True:
        await relay.struck()
        deaths_s.append(time.monotonic())
        await relay.start(until_ready=False)


async def _business(
    lab: Laboratory,
    client: Client,
    record: Recorder,
    slot_ids: Sequence[str],
    *,
    fault: str,
    plan: Disorder,
) -> None:
    async def visit(number: int, intended_ns: int) -> None:
        rng = lab.rng("person", fault, number)
        person = Person(client, record, number, rng)
        slot_id, units = rng.choice(slot_ids), rng.randint(1, 3)
        wants, then = rng.choice(("hold", "book")), rng.random()
        asked = await person.book(slot_id, units, mode=wants, intended_ns=intended_ns)
        if asked.booking_id is None:
            return
        if wants == "hold":
            await person.change("confirm" if then < 0.5 else "release", asked.booking_id)
        elif then < 0.4:
            await person.change("cancel", asked.booking_id)

    people = poisson(plan.people_per_s, lab.rng("people", fault))
    record.offered(await open_loop(people, visit, seconds=plan.seconds))


async def _calm(
    lab: Laboratory, client: Client, record: Recorder, slot_ids: Sequence[str]
) -> list[FinalSlot]:
    """All is in order again, every slot is touched once more, and everything has arrived."""
    for number, slot_id in enumerate(slot_ids, start=1):
        last = Person(client, record, -number, lab.rng("last", slot_id))
        await last.book(slot_id)
    return [await at_rest(client, slot_id) for slot_id in slot_ids]


def judge(records: Sequence[Record], plan: Disorder) -> Judged:  # noqa: ARG001  every scenario is judged with its plan
    """One cell per arm and fault: slots that say something else than the log when all is quiet."""
    cells = [_cell(record) for record in records]
    return Judged(cells=cells, figures=[_figure(records, cells)] if cells else [])


def finals_of(record: Record) -> list[FinalSlot]:
    """The slots as they were read at rest; none when the trial did not come so far."""
    return msgspec.convert(record.trial.facts.get("finals", []), list[FinalSlot])


def off_by(final: FinalSlot, events: Sequence[LoggedEvent]) -> tuple[int, int]:
    """Units taken as shown at rest, and as the log says."""
    logged = [slot for event in events for slot in event.slots if slot.slot_id == final.slot_id]
    newest = max(logged, key=lambda slot: slot.version, default=None)
    return final.held + final.confirmed, 0 if newest is None else newest.held + newest.confirmed


def _cell(record: Record) -> Cell:
    arm = VERSIONS if record.trial.arm == VERSIONS.name else ARRIVALS
    fault = str(record.trial.knobs["fault"])
    finals = finals_of(record)
    facts = record.trial.facts
    judgement = no_drift(record.events, finals)
    if judgement.verdict == "valid" and not (facts.get("repeated") or facts.get("out_of_order")):
        reason = "nothing came twice or out of order, so nothing was proved"
        judgement = msgspec.structs.replace(judgement, verdict="unknown", reason=reason)
    apart = [abs(shown - true) for shown, true in (off_by(f, record.events) for f in finals)]
    return Cell(
        arm=arm.name,
        guard=arm.guard,
        knob=fault,
        measures=[
            Measure(name="events", value=len(record.events)),
            Measure(name="repeated", value=facts.get("repeated", 0)),
            Measure(name="out of order", value=facts.get("out_of_order", 0)),
            Measure(name="relay deaths", value=facts.get("deaths", 0)),
            Measure(name="units wrong", value=sum(apart)),
        ],
        judgements=[judgement],
        # Sums do not mind the order: only what comes twice is certain to be counted twice.
        must_show=arm.guard == "off" and fault != SHUFFLED,
        generators=record.trial.generators,
    )


def _figure(records: Sequence[Record], cells: Sequence[Cell]) -> Figure:
    """Each slot of every trial: what is shown at rest over what is true."""
    drawn: list[Drawn] = []
    key: list[tuple[str, str]] = []
    for arm, kind, label in named_arms(cells):
        points = [
            (float(true), float(shown), f"{record.trial.knobs['fault']}, {label}")
            for record in records
            if record.trial.arm == arm
            for shown, true in (off_by(final, record.events) for final in finals_of(record))
        ]
        drawn.append(Dots(kind=kind, points=points))
        key.append((kind, label))
    return Figure(
        heading="What the read model shows when all is quiet again",
        caption="Each dot is a slot. With versions it shows what the log says; counters keep what they counted twice.",
        x_label="units taken by the log",
        y_label="units taken as shown",
        drawn=drawn,
        key=key,
    )


SCENARIO = Scenario(
    number=10,
    name="duplicates_and_disorder",
    claim="Whatever is repeated, overtaken or lost on the way, at rest the read model is the fold of the log.",
    fault="Events come twice and shuffled, and the relay dies before it hears that an event was kept.",
    anomaly="slots that drifted from the log for good",
    knob="fault",
    arms=[ARRIVALS, VERSIONS],
    plan=Disorder(faults=[TWICE, SHUFFLED, BOTH], people_per_s=150, seconds=4),
    quick=Disorder(faults=[BOTH], people_per_s=100, seconds=2),
    measure=measure,
    judge=judge,
)
