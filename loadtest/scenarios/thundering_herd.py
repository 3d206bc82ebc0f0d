"""Scenario 14, thundering herd: thousands a second want a slot that is sold out, and then one unit comes back.

Claim: refusals share batches, so at full load fifty attempts and more cost one call of the database; of the whole herd exactly one gets the unit, and
nobody is told sold out while it lies there. The control arm has the same condition with one transaction per attempt: as many calls as attempts,
and answers that take as long as the queue.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from loadtest.checkers.honest_refusals import honest_refusals
from loadtest.checkers.integrity import integrity
from loadtest.driver import Client, RequestWriter, poisson
from loadtest.driver.client import Exchange, outcome_of
from loadtest.driver.connection import Answer
from loadtest.driver.percentile import percentile
from loadtest.driver.volley import volley
from loadtest.evidence.trial import Record
from loadtest.experiment.charts import by_knob
from loadtest.experiment.findings import Cell, Judged, Measure
from loadtest.experiment.laboratory import Laboratory, Recorder
from loadtest.experiment.scenario import Arm, Scenario
from loadtest.history import Operation
from loadtest.system import System
from loadtest.system.doors import ALL, open_doors
from loadtest.system.inventory import seeded_id
from loadtest.verdict import Judgement, Witness, judged
from loadtest.workloads.answers import told_of
from loadtest.workloads.person import Person

SINGLY = Arm(
    name="a transaction per attempt",
    guard="off",
    settings={"BOOKING_GUARD": "conditional_write_singly"},
)
TOGETHER = Arm(name="refusals share batches", guard="on")

ATTEMPTS_PER_CALL = 50
HOLDER = -1
"""The journey of whoever holds the only unit and gives it back."""
SOLD, SOLD_OUT = 201, 409


class Herd(Struct, frozen=True, kw_only=True):
    """How many a second want the slot; the unit comes back in the middle.

    At `full_load_per_s`, which is more than anybody can decide on two cores, calls have to be shared: below, fewer wait at the same time. Then
    the herd ends after so many attempts, not after so long.
    """

    attempts_per_s: list[int]
    seconds: float
    full_load_per_s: int
    attempts_max: int = 8000
    connections: int = 256
    patience_s: float = 10.0

    def lasts_s(self, rate: int) -> float:
        """How long the herd comes."""
        return min(self.seconds, self.attempts_max / rate)


async def measure(lab: Laboratory, arm: Arm, plan: Herd) -> None:
    """The same herd, ever larger, each before a slot of its own."""
    lab.step(f"{arm.name}: starting the system")
    async with (
        lab.system(arm) as system,
        open_doors(system) as doors,
        system.client() as client,
    ):
        for rate in plan.attempts_per_s:
            opened = await system.open_resource(capacities=[1], rng=lab.rng("slot", arm.name, rate))
            slot_id = opened.slot_ids[0]
            lab.step(f"{arm.name}: {rate:,} attempts a second")
            async with lab.trial(system, arm, {"attempts/s": rate}, slot_ids=[slot_id]) as record:
                holder = Person(client, record, HOLDER, lab.rng("holder", rate))
                held = await holder.hold(slot_id)
                async with doors.counting(record.note):
                    herd = asyncio.create_task(
                        _rush(lab, system, client, record, slot_id, rate=rate, plan=plan)
                    )
                    try:
                        await asyncio.sleep(plan.lasts_s(rate) / 2)
                        await holder.change("release", held.booking_id or "")
                    finally:
                        await herd


async def _rush(
    lab: Laboratory,
    system: System,
    client: Client,
    record: Recorder,
    slot_id: str,
    *,
    rate: int,
    plan: Herd,
) -> None:
    """Everybody asks once; what was answered is written down when the rush is over, because the generator has no time."""
    write = RequestWriter(client.url)
    herd_id = seeded_id(lab.rng("herd", rate))
    answers: list[tuple[int, int, int, int, Answer | None]] = []

    def ask(number: int) -> bytes:
        customer = f"{herd_id[:-12]}{number:012x}"
        body = {
            "customer_id": customer,
            "mode": "book",
            "lines": [{"slot_id": slot_id, "units": 1}],
        }
        headers = [*system.authorization, ("Idempotency-Key", f"{herd_id}-{number}")]
        return write("POST", "/v1/bookings", msgspec.json.encode(body), headers)

    def answered(*answer: *tuple[int, int, int, int, Answer | None]) -> None:
        answers.append(answer)

    offered = await volley(
        client.url,
        poisson(rate, lab.rng("attempts", rate)),
        seconds=plan.lasts_s(rate),
        next_request=ask,
        on_answer=answered,
        connections=plan.connections,
        timeout_s=plan.patience_s,
    )
    record.offered(offered)
    for number, intended_ns, invoke_ns, return_ns, answer in answers:
        exchange = Exchange(outcome_of("POST", answer), answer, invoke_ns, return_ns)
        known: dict[str, Any] = {"slot_id": slot_id, "units": 1}
        record.add(
            Operation(
                run=record.name,
                arm=record.arm,
                journey=number,
                op="book",
                intended_ns=intended_ns,
                invoke_ns=invoke_ns,
                return_ns=return_ns,
                outcome=exchange.outcome,
                status=exchange.status,
                key=f"{herd_id}-{number}",
                **(known | told_of("book", exchange, asked=())),
            )
        )


def judge(records: Sequence[Record], plan: Herd) -> Judged:
    """One cell per arm and load: calls of the database, the slowest answers, and who got the unit."""
    cells = [_cell(record, plan) for record in records]
    figures = []
    counted = [c for c in cells if any(m.name == "calls/s" for m in c.measures)]
    if counted:
        figures.append(
            by_knob(
                counted,
                "calls/s",
                heading="Calls of the database",
                caption="One transaction per attempt costs a call each; what waits at the same time shares one.",
                knob="attempts per second",
                unit="calls per second",
            )
        )
    if cells:
        figures.append(
            by_knob(
                cells,
                "p99 ms",
                heading="The slowest answers",
                caption="From the moment somebody meant to ask until the answer, whatever it was.",
                knob="attempts per second",
                unit="99th percentile (ms)",
                y_log=True,
            )
        )
    return Judged(cells=cells, figures=figures)


def _cell(record: Record, plan: Herd) -> Cell:
    arm = TOGETHER if record.trial.arm == TOGETHER.name else SINGLY
    rate = int(record.trial.knobs["attempts/s"])
    attempts = [o for o in record.of("book") if o.journey != HOLDER]
    decided = sum(o.status in (SOLD, SOLD_OUT) for o in attempts)
    latency_ms = [(o.return_ns - o.intended_ns) / 1e6 for o in attempts]
    measures = [
        Measure(name="decided", value=decided),
        Measure(name="p99 ms", value=percentile(latency_ms, 99) if latency_ms else 0.0),
        Measure(name="winners", value=sum(o.status == SOLD for o in attempts)),
        Measure(name="turned away", value=len(attempts) - decided, detail=True),
    ]
    judgements = [
        one_winner(record),
        honest_refusals(record.operations, record.events),
        integrity(record.operations, record.events),
    ]
    counted = record.trial.facts.get("counted")
    at_full_load = rate >= plan.full_load_per_s
    if counted is not None:
        calls = int(counted[ALL])
        # Until the last of them was answered: a queue goes on being worked off when nobody comes any more.
        moments_ns = [ns for o in attempts for ns in (o.invoke_ns, o.return_ns)]
        seconds = max(1, max(moments_ns, default=0) - min(moments_ns, default=0)) / 1e9
        measures.insert(1, Measure(name="calls/s", value=calls / seconds))
        measures.insert(
            2, Measure(name="attempts per call", value=decided / max(1, calls), digits=1)
        )
        if at_full_load:
            judgements.insert(0, calls_are_shared(decided, calls))
    return Cell(
        arm=arm.name,
        guard=arm.guard,
        knob=rate,
        measures=measures,
        judgements=judgements,
        must_show=arm.guard == "off" and at_full_load,
        generators=record.trial.generators,
    )


def calls_are_shared(attempts: int, calls: int) -> Judgement:
    """Opportunities are attempts; what is violated is every call beyond one for fifty of them."""
    allowed = attempts // ATTEMPTS_PER_CALL + 1
    witnesses = [
        Witness(
            story="{attempts} attempts took {calls} calls of the database, more than {allowed}",
            facts={"attempts": attempts, "calls": calls, "allowed": allowed},
        )
    ]
    found = judged(
        "calls_are_shared", opportunities=attempts, witnesses=witnesses if calls > allowed else ()
    )
    return msgspec.structs.replace(found, violations=max(0, calls - allowed))


def one_winner(record: Record) -> Judgement:
    """The unit that came back was sold once; not at all is as wrong as twice, when the herd was there after the release."""
    released = next((o for o in record.of("release") if o.outcome == "ok"), None)
    attempts = [o for o in record.of("book") if o.journey != HOLDER]
    if released is None:
        return judged("one_winner", opportunities=0, hole="nobody knows whether the unit came back")
    late = [
        o for o in attempts if o.invoke_ns > released.return_ns and o.status in (SOLD, SOLD_OUT)
    ]
    winners = [o for o in attempts if o.status == SOLD]
    unheard = any(o.outcome == "indeterminate" for o in attempts)
    hole = None
    witnesses: list[Witness] = []
    if len(winners) > 1 or (not winners and late and not unheard):
        witnesses.append(
            Witness(
                story="one unit came back, and {winners} of {asked} got it",
                facts={"winners": len(winners), "asked": len(attempts)},
            )
        )
    elif not winners:
        hole = (
            "nobody who was answered got the unit, and of some nobody knows, or nobody asked later"
        )
    return judged("one_winner", opportunities=len(late), witnesses=witnesses, hole=hole)


SCENARIO = Scenario(
    number=14,
    name="thundering_herd",
    claim="A herd before a sold-out slot costs a call of the database per fifty attempts, and one of it gets the unit that comes back.",
    fault="Thousands a second ask for what is sold out; in the middle one unit is released.",
    anomaly="calls of the database too many, or wrong answers",
    knob="attempts/s",
    arms=[SINGLY, TOGETHER],
    plan=Herd(attempts_per_s=[500, 2000, 5000, 20_000], seconds=1.5, full_load_per_s=20_000),
    quick=Herd(attempts_per_s=[20_000], seconds=1, full_load_per_s=20_000, attempts_max=6000),
    measure=measure,
    judge=judge,
    target=True,
    left_out="Nobody counts the calls of a deployment's database: who gets the unit, and whether refusals are true, is judged.",
)
