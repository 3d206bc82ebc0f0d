"""Scenario 4, lost update: sixteen editors read a slot's capacity, think, and write it back with one more.

Claim: with `If-Match` no accepted change is lost, and a change without it is refused; with no precondition (`If-Match: *`) changes overwrite each
other and everybody is told it is done. The price is theory's: of λ attempts a second λ/(1 + λD) succeed, never more than 1/D however many try, so
a precondition is for edits, not for bookings.
"""

import asyncio
from collections.abc import Sequence
from statistics import fmean

import msgspec
from msgspec import Struct

from loadtest.checkers.no_lost_update import no_lost_update
from loadtest.driver import open_loop, poisson
from loadtest.evidence.trial import Record
from loadtest.experiment.charts import by_knob
from loadtest.experiment.findings import Cell, Judged, Measure, Theory
from loadtest.experiment.laboratory import Laboratory
from loadtest.experiment.scenario import Arm, Scenario
from loadtest.history import FinalSlot, Operation
from loadtest.system.inventory import at_rest
from loadtest.theory.optimistic_edits import goodput_per_s
from loadtest.verdict import Judgement, Witness, judged
from loadtest.workloads.person import Person

WITHOUT = Arm(name="writes whatever it finds", guard="off")
WITH = Arm(name="writes what it has read", guard="on")

CAPACITY = 1000
PRECONDITION_REQUIRED = 428


class Editing(Struct, frozen=True, kw_only=True):
    """How often somebody edits, and how long each thinks between reading and writing."""

    thinks_ms: list[int]
    attempts_per_s: float
    seconds: float
    editors: int = 16


async def measure(lab: Laboratory, arm: Arm, plan: Editing) -> None:
    """A slot of its own for every time to think."""
    lab.step(f"{arm.name}: starting the system")
    async with lab.system(arm) as system, system.client() as client:
        for think_ms in plan.thinks_ms:
            opened = await system.open_resource(
                capacities=[CAPACITY], rng=lab.rng("slot", arm.name, think_ms)
            )
            slot_id = opened.slot_ids[0]
            lab.step(f"{arm.name}: thinking {think_ms} ms")
            async with lab.trial(system, arm, {"think ms": think_ms}, slot_ids=[slot_id]) as record:

                async def edit(
                    number: int, intended_ns: int, slot_id: str = slot_id, think_ms: int = think_ms
                ) -> None:
                    editor = Person(client, record, number, lab.rng("editor", think_ms, number))
                    seen = await editor.look(slot_id, strong=True, intended_ns=intended_ns)
                    if seen.capacity is None:
                        return
                    await asyncio.sleep(think_ms / 1000)
                    await editor.resize(
                        slot_id,
                        seen.capacity + 1,
                        any_version=arm.guard == "off",
                        if_match=seen.version if arm.guard == "on" else None,
                    )

                attempts = poisson(plan.attempts_per_s, lab.rng("attempts", think_ms))
                record.offered(
                    await open_loop(
                        attempts, edit, seconds=plan.seconds, in_flight_max=plan.editors
                    )
                )
                if arm.guard == "on":
                    careless = Person(client, record, -1, lab.rng("careless", think_ms))
                    await careless.resize(slot_id, CAPACITY)
                record.note(final=msgspec.to_builtins(await at_rest(client, slot_id)))


def judge(records: Sequence[Record], plan: Editing) -> Judged:
    """One cell per arm and time to think: changes accepted, changes that are in the final capacity, and goodput beside λ/(1 + λD)."""
    cells = [_cell(record, plan) for record in records]
    figures = [
        by_knob(
            cells,
            "lost",
            heading="Changes that were accepted and are gone",
            caption="Accepted changes minus what the capacity grew by.",
            knob="time to think (ms)",
            unit="lost changes",
        ),
        by_knob(
            cells,
            "accepted/s",
            heading="What a precondition costs on a hot counter",
            caption="With If-Match a slot takes λ/(1 + λD) edits a second, D being the time from reading to deciding.",
            knob="time to think (ms)",
            unit="accepted changes per second",
            theory="λ/(1+λD)",
        ),
    ]
    return Judged(cells=cells, figures=figures if cells else [])


def _cell(record: Record, plan: Editing) -> Cell:
    arm = WITH if record.trial.arm == WITH.name else WITHOUT
    final = msgspec.convert(record.trial.facts["final"], FinalSlot)
    resizes = [o for o in record.of("resize") if o.journey >= 0]
    accepted = [o for o in resizes if o.outcome == "ok"]
    seconds = sum(generator.seconds for generator in record.trial.generators) or plan.seconds
    theory = None
    if arm is WITH and resizes:
        rate = len(resizes) / seconds
        expected = goodput_per_s(rate, dead_time_ms(record))
        band = 3 * (expected / seconds) ** 0.5 + 0.1 * expected
        theory = Theory(of="accepted/s", formula="λ/(1+λD)", expected=expected, band=band)
    judgements = [no_lost_update(record.operations, record.events)]
    if arm is WITH:
        judgements.append(_precondition_required(record.of("resize")))
    return Cell(
        arm=arm.name,
        guard=arm.guard,
        knob=record.trial.knobs["think ms"],
        measures=[
            Measure(name="attempts", value=len(resizes)),
            Measure(name="accepted", value=len(accepted)),
            Measure(name="lost", value=len(accepted) - (final.capacity - CAPACITY)),
            Measure(name="accepted/s", value=len(accepted) / seconds, digits=1),
            Measure(name="D ms", value=dead_time_ms(record), digits=1),
        ],
        theory=theory,
        judgements=judgements,
        must_show=arm.guard == "off",
        generators=record.trial.generators,
    )


def dead_time_ms(record: Record) -> float:
    """D: from the middle of a look to the middle of the change that was built on it."""
    looks = {o.journey: (o.invoke_ns + o.return_ns) / 2 for o in record.of("look")}
    spans = [
        ((o.invoke_ns + o.return_ns) / 2 - looks[o.journey]) / 1e6
        for o in record.of("resize")
        if o.journey in looks
    ]
    return fmean(spans) if spans else 0.0


def _precondition_required(resizes: Sequence[Operation]) -> Judgement:
    """Whoever says nothing about what they have read is refused."""
    careless = [o for o in resizes if o.journey < 0 and o.decided]
    witnesses = [
        Witness(
            story="a change without If-Match was answered {status}, not 428",
            facts={"status": o.status},
        )
        for o in careless
        if o.status != PRECONDITION_REQUIRED
    ]
    return judged("precondition_required", opportunities=len(careless), witnesses=witnesses)


SCENARIO = Scenario(
    number=4,
    name="lost_update",
    claim="With If-Match no accepted change of a slot is lost, and a change without it is refused.",
    fault="Sixteen editors read, think and write the same slot.",
    anomaly="changes that were accepted and overwritten",
    knob="think ms",
    arms=[WITHOUT, WITH],
    plan=Editing(thinks_ms=[0, 20, 100], attempts_per_s=100, seconds=6),
    quick=Editing(thinks_ms=[20], attempts_per_s=100, seconds=2),
    measure=measure,
    judge=judge,
)
