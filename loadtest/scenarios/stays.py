"""Scenario 16, stays: guests who want seven nights in a row, or none of them.

Claim: a booking of several slots gets all its lines or none, is moved as a whole, and the counters of every night are what its bookings have.
Fault: nights overlap and sell out one by one, lines come shuffled and twice, stays are cancelled and moved. Control arm: lines taken one by one,
each in a transaction of its own; refused guests keep the nights before the one that was gone.
"""

from collections.abc import Sequence
from random import Random

from msgspec import Struct

from loadtest.checkers.conservation import conservation
from loadtest.checkers.honest_refusals import honest_refusals
from loadtest.checkers.integrity import integrity
from loadtest.checkers.whole_stays import RULE, whole_stays
from loadtest.driver import Client, open_loop, poisson
from loadtest.evidence.trial import Record
from loadtest.experiment.charts import by_knob
from loadtest.experiment.findings import Cell, Judged, Measure
from loadtest.experiment.laboratory import Laboratory, Recorder
from loadtest.experiment.scenario import Arm, Scenario
from loadtest.history import Operation, OperationLine
from loadtest.system.inventory import seeded_id
from loadtest.workloads.person import Person

LINE_BY_LINE = Arm(name="lines one by one", guard="off", settings={"BOOKING_GUARD": "line_by_line"})
WHOLE = Arm(name="all lines or none", guard="on")

UNITS_MEAN = 1.5
TWICE_SHARE = 0.3
"""Of requests that name one night twice."""
HOLD_SHARE = 0.4


class Stays(Struct, frozen=True, kw_only=True):
    """How long stays are, how many ask for one, and how much of what they ask for there is."""

    nights: list[int]
    guests_per_s: float
    seconds: float
    calendar: int = 60
    supply_share: float = 0.4
    cancel_share: float = 0.2
    move_share: float = 0.3

    def capacity(self, nights: int) -> int:
        """Units of a night, so that nights sell out, some before others."""
        asked = self.guests_per_s * self.seconds * nights * UNITS_MEAN
        return max(2, round(self.supply_share * asked / self.calendar))


async def measure(lab: Laboratory, arm: Arm, plan: Stays) -> None:
    """A calendar of its own for every length of stay."""
    lab.step(f"{arm.name}: starting the system")
    async with lab.system(arm) as system, system.client() as client:
        for nights in plan.nights:
            opened = await system.open_resource(
                capacities=[plan.capacity(nights)] * plan.calendar,
                rng=lab.rng("calendar", arm.name, nights),
            )
            lab.step(f"{arm.name}: stays of {nights} nights")
            async with lab.trial(
                system, arm, {"nights": nights}, slot_ids=opened.slot_ids
            ) as record:
                calendar = _Calendar(client, record, opened.slot_ids, nights=nights, plan=plan)

                async def stay(
                    number: int,
                    intended_ns: int,
                    nights: int = nights,
                    calendar: _Calendar = calendar,
                ) -> None:
                    await calendar.stay(number, intended_ns, lab.rng("guest", nights, number))

                guests = poisson(plan.guests_per_s, lab.rng("guests", nights))
                record.offered(await open_loop(guests, stay, seconds=plan.seconds))


class _Calendar:
    """The nights of one house, and what guests do."""

    def __init__(
        self, client: Client, record: Recorder, slot_ids: list[str], *, nights: int, plan: Stays
    ) -> None:
        self._client, self._record = client, record
        self._slot_ids, self._nights, self._plan = slot_ids, nights, plan

    async def stay(self, number: int, intended_ns: int, rng: Random) -> None:
        """Asks for nights; who got them may confirm, move and cancel."""
        guest = Person(self._client, self._record, number, rng)
        mode = "hold" if rng.random() < HOLD_SHARE else "book"
        booked = await guest.book(
            self.lines(rng),
            mode=mode,
            booking_id=seeded_id(rng),
            intended_ns=intended_ns,
        )
        if booked.outcome != "ok" or booked.booking_id is None:
            return
        if mode == "hold" and rng.random() < 0.7:
            await guest.change("confirm" if rng.random() < 0.7 else "release", booked.booking_id)
        if rng.random() < self._plan.move_share:
            await self._move(guest, booked.booking_id, rng)
        if rng.random() < self._plan.cancel_share:
            await guest.change("cancel", booked.booking_id)

    def lines(self, rng: Random) -> list[tuple[str, int]]:
        """Nights in a row from a night drawn at random, in any order, some request naming one twice."""
        first = rng.randrange(len(self._slot_ids) - self._nights + 1)
        units = rng.randint(1, 2)
        lines = [(slot_id, units) for slot_id in self._slot_ids[first : first + self._nights]]
        if self._nights > 1 and rng.random() < TWICE_SHARE:
            lines.append((rng.choice(lines)[0], 1))
        rng.shuffle(lines)
        return lines

    async def _move(self, guest: Person, booking_id: str, rng: Random) -> None:
        lines, key = self.lines(rng), guest.new_key()
        await guest.do(
            "reschedule",
            "POST",
            f"/v1/bookings/{booking_id}/reschedule",
            body={"lines": [{"slot_id": slot_id, "units": units} for slot_id, units in lines]},
            headers=[("Idempotency-Key", key), ("If-Match", "*")],
            booking_id=booking_id,
            key=key,
            units=sum(units for _, units in lines),
            lines=[OperationLine(slot_id=slot_id, units=units) for slot_id, units in lines],
        )


def judge(records: Sequence[Record], plan: Stays) -> Judged:  # noqa: ARG001  every scenario is judged with its plan
    """One cell per arm and length of stay: guests with a part of what they asked for."""
    cells = [_cell(record) for record in records]
    figure = by_knob(
        cells,
        "partial",
        heading="Guests with a part of their stay",
        caption="Taken night by night, a stay breaks the more easily the longer it is; taken as a whole, never.",
        knob="nights of a stay",
        unit="guests with a part of their stay",
    )
    return Judged(cells=cells, figures=[figure] if cells else [])


def _cell(record: Record) -> Cell:
    arm = WHOLE if record.trial.arm == WHOLE.name else LINE_BY_LINE
    judgements = [whole_stays(record.operations, record.events)]
    if arm is WHOLE:
        judgements += [
            check(record.operations, record.events)
            for check in (conservation, integrity, honest_refusals)
        ]
    asked, moved = record.of("book", "hold"), record.of("reschedule")
    partial = sum(j.violations for j in judgements if j.rule == RULE)
    return Cell(
        arm=arm.name,
        guard=arm.guard,
        knob=record.trial.knobs["nights"],
        measures=[
            Measure(name="stays", value=len(asked)),
            Measure(name="refused", value=_refused(asked)),
            Measure(name="partial", value=partial),
            Measure(name="moves", value=len(moved)),
            Measure(name="moves refused", value=_refused(moved), detail=True),
            Measure(name="cancelled", value=len(record.of("cancel")), detail=True),
        ],
        judgements=judgements,
        must_show=arm.guard == "off" and int(record.trial.knobs["nights"]) > 1,
        generators=record.trial.generators,
    )


def _refused(operations: Sequence[Operation]) -> int:
    return sum(o.problem == "capacity-exceeded" for o in operations)


SCENARIO = Scenario(
    number=16,
    name="stays",
    claim="A stay of several nights gets all of them or none, and is moved as a whole.",
    fault="Nights overlap and sell out one by one; lines come shuffled and twice; stays are cancelled and moved.",
    anomaly="guests with a part of their stay",
    knob="nights",
    arms=[LINE_BY_LINE, WHOLE],
    plan=Stays(nights=[1, 3, 7], guests_per_s=120, seconds=5),
    quick=Stays(nights=[7], guests_per_s=100, seconds=2.5),
    measure=measure,
    judge=judge,
    target=True,
    left_out="Nothing is left out: guests need HTTP alone.",
)
