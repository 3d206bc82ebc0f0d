"""Scenario 15, what batching could break: commands that share a transaction, and must not notice.

Claim: in a batch every command is judged on its own, a command that makes the call fail fails alone, and processes never wait for each other in
a circle. Three faults, each with the mistake as its control: parties of 1 to 8 crowd to the last places (a batch refused by its sum), one poisoned
command comes again and again (its whole batch fails), stays of several slots come at three processes in any order (locks as they are named).
"""

import asyncio
from collections.abc import Sequence

from msgspec import Struct

from loadtest.checkers.conservation import conservation
from loadtest.checkers.honest_refusals import honest_refusals
from loadtest.checkers.integrity import integrity
from loadtest.checkers.neighbours_served import neighbours_served
from loadtest.checkers.no_deadlock import answered_no_deadlock, counted_no_deadlock
from loadtest.driver import burst, constant, open_loop
from loadtest.evidence.trial import Record
from loadtest.experiment.figures import Drawn, Figure, Kind, Line
from loadtest.experiment.findings import Cell, Judged, Measure
from loadtest.experiment.laboratory import Laboratory
from loadtest.experiment.scenario import Arm, Scenario
from loadtest.system import System
from loadtest.system.doors import ALL, DEADLOCK, Doors, open_doors
from loadtest.verdict import Judgement
from loadtest.workloads.person import Person

PARTIES, POISON, ORDERS = "party sizes", "poison", "lock order"

BY_THE_SUM = Arm(name="refused by the sum", guard="off", settings={"BOOKING_GUARD": "by_the_sum"})
TOGETHER = Arm(
    name="all fail together", guard="off", settings={"BOOKING_GUARD": "all_fail_together"}
)
UNSORTED = Arm(name="locks unsorted", guard="off", settings={"BOOKING_GUARD": "unsorted_locks"})
GUARDED = Arm(name="guarded", guard="on")
ARMS = {arm.name: arm for arm in (BY_THE_SUM, TOGETHER, UNSORTED, GUARDED)}
FAULTS_OF = {BY_THE_SUM.name: [PARTIES], TOGETHER.name: [POISON], UNSORTED.name: [ORDERS]}
"""The guarded arm meets all of them."""

POISONED = -1
"""The journey of whoever sends the poisoned command."""
OTHERS = 2
"""API processes beside the system's own: of two, one waits while the other has all its locks; it takes two that wait to make a circle."""
BATCH_SHOWN_MAX = 192
CROWDED_S = 0.005


class Crowds(Struct, frozen=True, kw_only=True):
    """Crowds of people who come at the same moment, and guests who want several slots."""

    crowds: int
    crowds_per_s: float
    stays_per_s: float
    stays_s: float
    crowd: int = 24
    party_max: int = 8
    capacity: int = 40
    nights: int = 12
    nights_of_a_stay: int = 4


async def measure(lab: Laboratory, arm: Arm, plan: Crowds) -> None:
    """The faults an arm is for, on one system, for the lock order with three API processes."""
    lab.step(f"{arm.name}: starting the system")
    faults = FAULTS_OF.get(arm.name, [PARTIES, POISON, ORDERS])
    others = OTHERS if ORDERS in faults else 0
    async with (
        lab.system(arm) as system,
        open_doors(system, others=others) as doors,
    ):
        for fault in faults:
            lab.step(f"{arm.name}: {fault}")
            if fault == PARTIES:
                await _party_sizes(lab, arm, plan, system, doors)
            elif fault == ORDERS:
                await _lock_order(lab, arm, plan, system, doors)
            elif lab.target is None:
                await _poison(lab, arm, plan, system)


async def _party_sizes(
    lab: Laboratory, arm: Arm, plan: Crowds, system: System, doors: Doors
) -> None:
    """A crowd comes to each hall at the same moment, and wants several times what there is."""
    opened = await system.open_resource(
        capacities=[plan.capacity] * plan.crowds, rng=lab.rng("halls", arm.name)
    )
    async with lab.trial(system, arm, {"fault": PARTIES}, slot_ids=opened.slot_ids) as record:

        async def come(hall: int, intended_ns: int) -> None:
            if hall >= plan.crowds:
                return

            async def ask(number: int) -> None:
                rng = lab.rng("guest", hall, number)
                door = rng.choice(doors.clients)
                guest = Person(door, record, hall * plan.crowd + number, rng)
                party = rng.randint(1, plan.party_max)
                await guest.book(opened.slot_ids[hall], party, intended_ns=intended_ns)

            await asyncio.gather(*(ask(number) for number in range(plan.crowd)))

        async with doors.counting(record.note):
            seconds = (plan.crowds + 0.5) / plan.crowds_per_s
            record.offered(await open_loop(constant(plan.crowds_per_s), come, seconds=seconds))


async def _poison(lab: Laboratory, arm: Arm, plan: Crowds, system: System) -> None:
    """The first command of a process makes every call raise that it is in; it comes again with each crowd."""
    opened = await system.open_resource(
        capacities=[plan.crowds * plan.crowd * plan.party_max], rng=lab.rng("room", arm.name)
    )
    slot_id = opened.slot_ids[0]
    poisoned = await system.part("api", {"BOOKING_FAULT": "raise_in_call:1"})
    async with (
        system.client(poisoned.url) as client,
        lab.trial(system, arm, {"fault": POISON}, slot_ids=[slot_id]) as record,
    ):
        key = Person(client, record, POISONED, lab.rng("key")).new_key()

        async def poison(intended_ns: int | None = None) -> None:
            sender = Person(client, record, POISONED, lab.rng("poisoned"))
            await sender.book(slot_id, key=key, intended_ns=intended_ns)

        async def come(crowd: int, intended_ns: int) -> None:
            async def ask(number: int) -> None:
                rng = lab.rng("neighbour", crowd, number)
                guest = Person(client, record, crowd * plan.crowd + number, rng)
                await guest.book(slot_id, rng.randint(1, plan.party_max), intended_ns=intended_ns)

            neighbours = [ask(number) for number in range(plan.crowd)]
            half = plan.crowd // 2
            await asyncio.gather(*neighbours[:half], poison(intended_ns), *neighbours[half:])

        await poison()
        seconds = plan.crowds / plan.crowds_per_s
        record.offered(await open_loop(constant(plan.crowds_per_s), come, seconds=seconds))


async def _lock_order(
    lab: Laboratory, arm: Arm, plan: Crowds, system: System, doors: Doors
) -> None:
    """Crowds want some of a few nights each, at either process; there is room for everybody."""
    opened = await system.open_resource(
        capacities=[1_000_000] * plan.nights, rng=lab.rng("nights", arm.name)
    )
    async with lab.trial(system, arm, {"fault": ORDERS}, slot_ids=opened.slot_ids) as record:

        async def stay(number: int, intended_ns: int) -> None:
            rng = lab.rng("stay", number)
            guest = Person(rng.choice(doors.clients), record, number, rng)
            lines = [(slot_id, 1) for slot_id in rng.sample(opened.slot_ids, plan.nights_of_a_stay)]
            await guest.book(lines, intended_ns=intended_ns)

        async with doors.counting(record.note):
            every_s = plan.crowd / plan.stays_per_s
            rng = lab.rng("stays")
            guests = burst(plan.crowd, every_s=every_s, within_s=CROWDED_S, rng=rng)
            record.offered(await open_loop(guests, stay, seconds=plan.stays_s))


def judge(records: Sequence[Record], plan: Crowds) -> Judged:  # noqa: ARG001  every scenario is judged with its plan
    """One cell per arm and fault."""
    cells = [_cell(record) for record in records]
    return Judged(cells=cells, figures=_figures(records))


def _cell(record: Record) -> Cell:
    arm, fault = ARMS[record.trial.arm], str(record.trial.knobs["fault"])
    operations, events = record.operations, record.events
    if fault == PARTIES:
        mine = honest_refusals(operations, events)
    elif fault == POISON:
        mine = neighbours_served(operations, poisoner=POISONED)
    else:
        mine = _no_deadlock(record)
    others = [check(operations, events) for check in (integrity, conservation)]
    asked = [o for o in record.of("book") if o.journey != POISONED]
    return Cell(
        arm=arm.name,
        guard=arm.guard,
        knob=fault,
        measures=[
            Measure(name="commands", value=len(asked)),
            Measure(name="accepted", value=sum(o.status == 201 for o in asked)),
            Measure(name="refused", value=sum(o.status == 409 for o in asked)),
            Measure(name="poisoned", value=len(record.of("book")) - len(asked), detail=True),
            Measure(name="batches", value=_batches(record), detail=True),
        ],
        judgements=[mine, *others] if arm is GUARDED else [mine],
        must_show=arm.guard == "off",
        generators=record.trial.generators,
    )


def _batches(record: Record) -> int:
    return int(record.trial.facts.get("counted", {}).get(ALL, 0))


def _no_deadlock(record: Record) -> Judgement:
    counted = record.trial.facts.get("counted")
    if counted is None:
        return answered_no_deadlock(record.operations)
    return counted_no_deadlock(deadlocks=int(counted[DEADLOCK]), batches=int(counted[ALL]))


def _figures(records: Sequence[Record]) -> list[Figure]:
    """How large batches were: an experiment on batches of one would show nothing."""
    figures = []
    for fault, heading in (
        (PARTIES, "How large the batches were when crowds came"),
        (ORDERS, "How large the batches were when stays came at three processes"),
    ):
        ours = [r for r in records if r.trial.knobs["fault"] == fault and _batches(r)]
        drawn: list[Drawn] = []
        key: list[tuple[str, str]] = []
        for record in ours:
            kind: Kind = "on" if record.trial.arm == GUARDED.name else "off"
            counted = {k: n for k, n in record.trial.facts["counted"].items() if k != DEADLOCK}
            shares = sorted((float(size), n / counted[ALL]) for size, n in counted.items())
            points = [(size, 1 - share) for size, share in shares if size < BATCH_SHOWN_MAX]
            drawn.append(Line(kind=kind, points=points))
            key.append((kind, record.trial.arm))
        if drawn:
            figures.append(
                Figure(
                    heading=heading,
                    caption="The share of batches with more commands than that.",
                    x_label="commands in a batch",
                    y_label="share of batches that were larger",
                    drawn=drawn,
                    key=key,
                    x_log=True,
                    y_max=1,
                )
            )
    return figures


SCENARIO = Scenario(
    number=15,
    name="what_batching_could_break",
    claim="In a batch every command is judged on its own, fails alone, and waits for nobody in a circle.",
    fault="Crowds at the last places, a poisoned command that comes again, stays in any order at three processes.",
    anomaly="false refusals, failed neighbours and deadlocks",
    knob="fault",
    arms=[BY_THE_SUM, TOGETHER, UNSORTED, GUARDED],
    plan=Crowds(crowds=50, crowds_per_s=12, stays_per_s=150, stays_s=5),
    quick=Crowds(crowds=12, crowds_per_s=12, stays_per_s=120, stays_s=2.5),
    measure=measure,
    judge=judge,
    target=True,
    left_out="No command is poisoned, and the processes that stand behind the address are not told apart; a deadlock shows as a failure only.",
)
