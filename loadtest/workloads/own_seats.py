"""People who each book a seat of their own, that somebody else looks at for the first time while it is being booked.

What a query node is asked for the first time it reads from the tables, and what changes meanwhile it hears from the feed: the one must be
merged into the other, or the seat is shown as it was until it changes again, though the node says that it has come further.
"""

import asyncio
from collections.abc import Sequence

from loadtest.checkers.read_your_writes import read_your_writes
from loadtest.driver import open_loop, poisson
from loadtest.evidence.trial import Record
from loadtest.experiment.findings import Cell, Measure
from loadtest.experiment.laboratory import Laboratory
from loadtest.experiment.scenario import Arm
from loadtest.system import System
from loadtest.workloads.person import Person

OWN_SEAT = "own seat"
SEATS, PEOPLE_PER_S = 900, 450
WAIT_MAX_S = 5
PASSERS_BY_FROM = 10_000_000
HEARD_AFTER_S = (0.0, 0.04)
"""How long after the view's lag a booking is about to arrive: then somebody passes by."""


async def book_own_seats(lab: Laboratory, system: System, arm: Arm, *, lag_ms: int) -> None:
    """Everybody books a new seat and looks at it, where the guard is on with the token of the booking, else at once."""
    with_token = arm.guard == "on"
    lab.step(f"{arm.name}: {SEATS} people with seats of their own, {PEOPLE_PER_S} a second")
    opened = await system.open_resource(capacities=[1] * SEATS, rng=lab.rng("seats", arm.name))
    async with (
        system.client() as client,
        lab.trial(system, arm, {"gap ms": OWN_SEAT}, slot_ids=opened.slot_ids) as record,
    ):

        async def pass_by(number: int) -> None:
            rng = lab.rng("passer-by", number)
            await asyncio.sleep(lag_ms / 1000 + rng.uniform(*HEARD_AFTER_S))
            passer_by = Person(client, record, PASSERS_BY_FROM + number, rng)
            await passer_by.look(opened.slot_ids[number])

        async def visit(number: int, intended_ns: int) -> None:
            if number >= SEATS:
                return
            person = Person(client, record, number, lab.rng("owner", number))
            seat = opened.slot_ids[number]
            passing = asyncio.create_task(pass_by(number))
            try:
                booked = await person.book(seat, intended_ns=intended_ns)
                if with_token:
                    # What this look finds is what the first one left behind.
                    await passing
                    await person.look(seat, token=booked.token_out, wait_s=WAIT_MAX_S)
                else:
                    await person.look(seat)
            finally:
                await passing

        people = poisson(PEOPLE_PER_S, lab.rng("owners"))
        record.offered(await open_loop(people, visit, seconds=SEATS / PEOPLE_PER_S))


def judge_own_seats(record: Record, arm: Arm) -> Cell:
    """Who was shown their seat as if they had not booked it."""
    judgement = read_your_writes(record.operations, record.events)
    looks = [o for o in record.of("look") if o.journey < PASSERS_BY_FROM]
    missed = 100 * judgement.violations / max(1, judgement.opportunities)
    return Cell(
        arm=arm.name,
        guard=arm.guard,
        knob=OWN_SEAT,
        measures=[
            Measure(name="tries", value=len(looks)),
            Measure(name="missed %", value=missed, digits=1),
            Measure(name="wait ms", value=_mean([o.wait_ms or 0.0 for o in looks]), digits=1),
        ],
        judgements=[judgement],
        must_show=arm.guard == "off",
        generators=record.trial.generators,
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(1, len(values))
