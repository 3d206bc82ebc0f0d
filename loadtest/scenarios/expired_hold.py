"""Scenario 8, the expired hold: somebody pays for a hold at the very moment it runs out, and somebody else wants the unit.

Claim: a unit has one owner at a time, because a hold ends by a state transition and not by the time of day; who pays late gets the unit if nobody
was faster. Fault: confirmations around the expiry, buyers at a second process, the sweeper running. Control arm: each process decides by its own
clock, and that of the second is a second ahead. The product has no such clock to set: its processes know no time but the database's.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile

from msgspec import Struct

from loadtest.checkers.integrity import integrity
from loadtest.checkers.ownership import ownership
from loadtest.driver import Client, open_loop, poisson
from loadtest.evidence.trial import Record, about
from loadtest.experiment.charts import by_knob
from loadtest.experiment.findings import Cell, Judged, Measure
from loadtest.experiment.laboratory import Laboratory
from loadtest.experiment.scenario import Arm, Scenario
from loadtest.history import LoggedEvent, Operation
from loadtest.system import System
from loadtest.verdict import Judgement, Witness, judged
from loadtest.workloads.person import Person

BY_THE_CLOCK = Arm(
    name="by the application's clock",
    guard="off",
    settings={"BOOKING_GUARD": "application_clock"},
)
BY_TRANSITION = Arm(name="by state transition", guard="on")
AHEAD = {BY_THE_CLOCK.name: {"BOOKING_GUARD": "application_clock_ahead"}}
"""Settings of the second process."""

RIVALS = 1_000_000
"""A rival's journey is so many more than that of the holder whose unit is wanted."""
RIVAL_EARLIEST_MS = -600
NEAR_MS = 200
PAID = "confirmed"
ENDS = ("released", "expired", "cancelled")


class Holds(Struct, frozen=True, kw_only=True):
    """How many place a hold, how long it lasts, and when they confirm: so long after the expiry, in turn.

    Few at a time, because the control decides one by one: who waits in its queue does not know when their hold ends.
    """

    holds_per_s: float
    seconds: float
    hold_s: int = 2
    late_ms: tuple[int, ...] = (-175, -125, -75, -25, 25, 75, 125, 175)
    rival_share: float = 0.7
    must_show_until_ms: int = -75


async def measure(lab: Laboratory, arm: Arm, plan: Holds) -> None:
    """Everybody holds the only unit of a slot, and most have a rival at the other process."""
    lab.step(f"{arm.name}: starting the system")
    async with lab.system(arm) as system, system.client() as client:
        second = await system.part("api", AHEAD.get(arm.name))
        async with system.client(second.url) as other:
            await _hold(lab, arm, plan, system, client, other)


async def _hold(  # noqa: PLR0917 -- the two doors of one system
    lab: Laboratory, arm: Arm, plan: Holds, system: System, client: Client, other: Client
) -> None:
    moments = list(_until(plan.seconds, poisson(plan.holds_per_s, lab.rng("holds"))))
    opened = await system.open_resource(
        capacities=[1] * len(moments), rng=lab.rng("slots", arm.name)
    )
    lab.step(f"{arm.name}: {len(moments)} holds")
    async with lab.trial(system, arm, {"late ms": "dealt"}) as record:

        async def stay(number: int, intended_ns: int) -> None:
            rng, slot_id = lab.rng("holder", number), opened.slot_ids[number]
            holder = Person(client, record, number, rng)
            held = await holder.hold(slot_id, hold_seconds=plan.hold_s, intended_ns=intended_ns)
            if held.outcome != "ok" or held.booking_id is None:
                return
            booking_id, expires_ns = held.booking_id, expiry_ns(held, plan)

            async def confirm() -> None:
                await _at(expires_ns + confirms_ms(number, plan) * 1_000_000)
                await holder.change("confirm", booking_id)

            rival = lab.rng("rival", number)

            async def buy() -> None:
                earliest = -NEAR_MS if rival.random() < 0.5 else RIVAL_EARLIEST_MS
                await _at(expires_ns + int(rival.uniform(earliest, NEAR_MS) * 1e6))
                await Person(other, record, RIVALS + number, rival).book(slot_id)

            await asyncio.gather(confirm(), *([buy()] if rival.random() < plan.rival_share else []))

        record.offered(await open_loop(iter([*moments, plan.seconds]), stay, seconds=plan.seconds))


def _until(seconds: float, moments: Iterator[float]) -> Iterator[float]:
    return takewhile(lambda moment: moment < seconds, moments)


def confirms_ms(number: int, plan: Holds) -> int:
    """When a holder confirms, after the expiry."""
    return plan.late_ms[number % len(plan.late_ms)]


def expiry_ns(held: Operation, plan: Holds) -> int:
    """When a hold is past its time, by the generator's clock: it was placed between question and answer."""
    return (held.invoke_ns + held.return_ns) // 2 + plan.hold_s * 1_000_000_000


async def _at(moment_ns: int) -> None:
    await asyncio.sleep(max(0.0, (moment_ns - time.monotonic_ns()) / 1e9))


def judge(records: Sequence[Record], plan: Holds) -> Judged:
    """One cell per arm and moment of confirming."""
    cells = [_cell(record, ms, plan) for record in records for ms in plan.late_ms]
    if not cells:
        return Judged(cells=cells)
    resold = by_knob(
        cells,
        "paid, resold",
        heading="Units that were paid for and resold",
        caption="Where clocks decide and one is ahead, a hold is sold to somebody else while its owner may still pay. Where a transition decides, never.",
        knob="confirmed so long after the expiry (ms)",
        unit="units with two owners",
    )
    confirmed = by_knob(
        cells,
        "confirmed %",
        heading="Who pays late",
        caption="By the clock, whoever pays late is turned away although the unit is still there; by transition they get it unless somebody was faster.",
        knob="confirmed so long after the expiry (ms)",
        unit="% of confirmations accepted",
        y_max=100,
    )
    return Judged(cells=cells, figures=[resold, confirmed])


def _cell(record: Record, ms: int, plan: Holds) -> Cell:
    arm = BY_TRANSITION if record.trial.arm == BY_TRANSITION.name else BY_THE_CLOCK
    operations = [o for o in record.operations if confirms_ms(o.journey % RIVALS, plan) == ms]
    slot_ids = {o.slot_id for o in operations if o.op == "hold" and o.slot_id is not None}
    events = about(record.events, sorted(slot_ids)) if slot_ids else []
    mine = one_owner(operations, events)
    judgements = [mine]
    if arm is BY_TRANSITION:
        judgements += [ownership(operations, events), integrity(operations, events)]
        if ms > 0:
            judgements.append(late_is_not_too_late(operations, events))
    confirms = [o for o in operations if o.op == "confirm"]
    accepted = sum(o.status == 200 for o in confirms)
    return Cell(
        arm=arm.name,
        guard=arm.guard,
        knob=ms,
        measures=[
            Measure(name="confirms", value=len(confirms)),
            Measure(name="confirmed %", value=100 * accepted / max(1, len(confirms))),
            Measure(name="rivals", value=mine.opportunities),
            Measure(
                name="rivals served",
                value=sum(o.op == "book" and o.status == 201 for o in operations),
            ),
            Measure(name="paid, resold", value=mine.violations),
            Measure(
                name="swept", value=sum(e.data.state == "expired" for e in events), detail=True
            ),
        ],
        judgements=judgements,
        must_show=arm.guard == "off" and ms <= plan.must_show_until_ms,
        generators=record.trial.generators,
    )


def one_owner(operations: Sequence[Operation], events: Sequence[LoggedEvent]) -> Judgement:
    """Nobody's unit is paid for twice. Opportunities are rivals: people who wanted a unit that was held."""
    witnesses: list[Witness] = []
    asked = {o.key: o for o in operations}
    owners: dict[str, list[LoggedEvent]] = defaultdict(list)
    for event in sorted(events, key=lambda event: event.position):
        if event.booking_id is None or event.data.state not in (PAID, *ENDS):
            continue
        for slot in event.slots:
            others = [e for e in owners[slot.slot_id] if e.booking_id != event.booking_id]
            if event.data.state in ENDS:
                owners[slot.slot_id] = others
                continue
            if others and slot.confirmed > slot.capacity + slot.overbooking_units:
                witnesses.append(_two_owners(slot.slot_id, others[-1], event, asked))
            owners[slot.slot_id] = [*others, event]
    rivals = [o for o in operations if o.op == "book"]
    hole = None if events else "the log tells nothing of these slots"
    return judged("one_owner", opportunities=len(rivals), witnesses=witnesses, hole=hole)


def _two_owners(
    slot_id: str, first: LoggedEvent, event: LoggedEvent, asked: Mapping[str | None, Operation]
) -> Witness:
    who, before = asked.get(event.command_id), asked.get(first.command_id)
    return Witness(
        story="slot {slot_id} was paid for by booking {first} (journey {first_by}, position {first_position}), and at position {position} by booking {booking_id} (journey {journey}), too",
        facts={
            "slot_id": slot_id,
            "first": first.booking_id,
            "first_by": before.journey if before is not None else None,
            "first_position": first.position,
            "booking_id": event.booking_id,
            "journey": who.journey if who is not None else None,
            "position": event.position,
        },
        size=event.position - first.position,
    )


def late_is_not_too_late(
    operations: Sequence[Operation], events: Sequence[LoggedEvent]
) -> Judgement:
    """Who confirms after the expiry is refused only if the hold was ended before. Opportunities are such confirmations, as far as they were decided."""
    ended = {event.booking_id for event in events if event.data.state in ENDS}
    confirms = [o for o in operations if o.op == "confirm" and o.decided]
    witnesses = [
        Witness(
            story="journey {journey} confirmed booking {booking_id} late and was refused ({status}), though nobody had ended the hold",
            facts={
                "journey": o.journey,
                "booking_id": o.booking_id,
                "status": o.status,
            },
            size=o.journey,
        )
        for o in confirms
        if o.outcome == "failed" and o.booking_id not in ended
    ]
    return judged("late_is_not_too_late", opportunities=len(confirms), witnesses=witnesses)


SCENARIO = Scenario(
    number=8,
    name="expired_hold",
    claim="A unit has one owner at a time, whoever pays at the moment a hold runs out; who pays late gets it unless somebody was faster.",
    fault="Holds are confirmed around their expiry while others want the unit; in the control one process's clock is a second ahead.",
    anomaly="units that were paid for and resold",
    knob="late ms",
    arms=[BY_THE_CLOCK, BY_TRANSITION],
    plan=Holds(holds_per_s=32, seconds=12),
    quick=Holds(holds_per_s=40, seconds=2.5, late_ms=(-150, 150), must_show_until_ms=-150),
    measure=measure,
    judge=judge,
)
