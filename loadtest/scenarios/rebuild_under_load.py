"""Scenario 13, rebuild under load: an operator folds the read model anew while people book and read.

Claim: nobody notices. `projector rebuild` fills tables out of sight, holds them against the log and swaps them in, so what a reader is shown never
goes back and no unit that was booked is ever missing. Emptying the tables and replaying the log into them, before everyone's eyes, shows slots that
do not exist and half of what was sold, and it does so for as long as the log takes.
"""

import asyncio
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from loadtest.checkers.monotonic_reads import monotonic_reads
from loadtest.checkers.no_drift import no_drift
from loadtest.checkers.units_are_conserved import (
    Shown,
    tells,
    units_are_conserved,
    units_taken,
)
from loadtest.driver import Client, open_loop, poisson
from loadtest.evidence.trial import Record
from loadtest.experiment.charts import by_knob
from loadtest.experiment.figures import Drawn, Figure, Kind, Line, Span, thinned
from loadtest.experiment.findings import Cell, Judged, Measure
from loadtest.experiment.laboratory import Laboratory, Recorder
from loadtest.experiment.scenario import Arm, Scenario
from loadtest.history import FinalSlot
from loadtest.system import System
from loadtest.system.filling import fill
from loadtest.system.inventory import Opened, at_rest
from loadtest.workloads.person import Person

IN_PLACE = Arm(
    name="truncate and replay", guard="off", settings={"PROJECTOR_GUARD": "rebuild_in_place"}
)
SHADOW = Arm(name="shadow, verify, swap", guard="on")

CAPACITY = 1_000_000


class Rebuilding(Struct, frozen=True, kw_only=True):
    """How long the log is when the rebuild begins, and what people do meanwhile."""

    bookings_before: list[int]
    slots: int = 20
    readers: int = 20
    reads_per_s: float = 150
    overview_share: float = 0.2
    bookings_per_s: float = 50
    cancel_share: float = 0.3
    rebuilds: int = 2
    lead_s: float = 0.5
    """Before each rebuild and after the last: what is read then is what the rebuild may not take back."""
    seconds_max: float = 30


class _Totals(Struct):
    capacity: int
    held: int
    confirmed: int
    remaining: int


class _Units(Struct):
    units: int


class _States(Struct):
    held: _Units
    confirmed: _Units


class _Overview(Struct):
    availability: _Totals
    bookings: _States


async def measure(lab: Laboratory, arm: Arm, plan: Rebuilding) -> None:
    """The log is made longer and longer; at each length the read model is rebuilt while people book and read."""
    lab.step(f"{arm.name}: starting the system")
    async with lab.system(arm) as system, system.client() as client:
        booked = 0
        for length in plan.bookings_before:
            opened = await system.open_resource(
                capacities=[CAPACITY] * plan.slots, rng=lab.rng("slots", arm.name, length)
            )
            lab.step(f"{arm.name}: {length:,} bookings beforehand")
            await fill(client, opened.slot_ids, length - booked, lab.rng("before", length))
            booked = length
            before = await _everything_at_rest(client, opened.slot_ids)
            lab.step(f"{arm.name}: rebuilding while people book and read")
            async with lab.trial(
                system, arm, {"bookings before": length}, slot_ids=opened.slot_ids
            ) as record:
                record.note(before={slot.slot_id: slot.held + slot.confirmed for slot in before})
                crowd = _Crowd(client, record, lab, opened, length=length, plan=plan)
                rebuilding = asyncio.create_task(_rebuild(system, record, plan))
                try:
                    people = poisson(
                        plan.reads_per_s + plan.bookings_per_s, lab.rng("people", length)
                    )
                    record.offered(
                        await open_loop(
                            people, crowd.visit, seconds=plan.seconds_max, until=rebuilding.done
                        )
                    )
                    await rebuilding
                finally:
                    rebuilding.cancel()
                    await asyncio.gather(rebuilding, return_exceptions=True)
                record.note(
                    shown=msgspec.to_builtins(crowd.shown),
                    finals=msgspec.to_builtins(await _everything_at_rest(client, opened.slot_ids)),
                )


async def _everything_at_rest(client: Client, slot_ids: Sequence[str]) -> list[FinalSlot]:
    return [await at_rest(client, slot_id) for slot_id in slot_ids]


async def _rebuild(system: System, record: Recorder, plan: Rebuilding) -> None:
    """An operator types the command; what it says of itself is kept."""
    said = []
    for _ in range(plan.rebuilds):
        await asyncio.sleep(plan.lead_s)
        with system.faults.marked("projector rebuild"):
            said.append(msgspec.json.decode(await system.command("projector", "rebuild", "--json")))
    await asyncio.sleep(plan.lead_s)
    record.note(rebuilds=said)


class _Crowd:
    """Readers who come again and again, and people who book once; which of both is drawn."""

    def __init__(
        self,
        client: Client,
        record: Recorder,
        lab: Laboratory,
        opened: Opened,
        *,
        length: int,
        plan: Rebuilding,
    ) -> None:
        self.shown: list[Shown] = []
        self._client, self._record, self._lab = client, record, lab
        self._opened, self._length, self._plan = opened, length, plan
        self._readers = [
            Person(client, record, number, lab.rng("reader", number))
            for number in range(plan.readers)
        ]

    async def visit(self, number: int, intended_ns: int) -> None:
        """One of them."""
        rng, plan = self._lab.rng("visit", self._length, number), self._plan
        slot_id = rng.choice(self._opened.slot_ids)
        if rng.random() < plan.reads_per_s / (plan.reads_per_s + plan.bookings_per_s):
            reader = rng.choice(self._readers)
            if rng.random() < plan.overview_share:
                await self._overview(reader, intended_ns)
            else:
                await reader.look(slot_id, intended_ns=intended_ns)
            return
        person = Person(self._client, self._record, plan.readers + number, rng)
        booked = await person.book(slot_id, rng.randint(1, 3), intended_ns=intended_ns)
        if booked.booking_id is not None and rng.random() < plan.cancel_share:
            await person.change("cancel", booked.booking_id)

    async def _overview(self, reader: Person, intended_ns: int) -> None:
        path = f"/v1/resources/{self._opened.resource_id}/overview"
        asked = await reader.do("overview", "GET", path, intended_ns=intended_ns)
        if asked.status == 404:
            self.shown.append(Shown(journey=reader.journey, at_ns=asked.return_ns))
        elif asked.outcome == "ok" and reader.last is not None:
            seen = msgspec.json.decode(reader.last.body, type=_Overview)
            self.shown.append(
                Shown(
                    journey=reader.journey,
                    at_ns=asked.return_ns,
                    capacity=seen.availability.capacity,
                    remaining=seen.availability.remaining,
                    taken=seen.availability.held + seen.availability.confirmed,
                    listed=seen.bookings.held.units + seen.bookings.confirmed.units,
                )
            )


def judge(records: Sequence[Record], plan: Rebuilding) -> Judged:  # noqa: ARG001  every scenario is judged with its plan
    """One cell per arm and length of the log: readings that went back, and readings in which units were missing."""
    cells = [_cell(record) for record in records]
    if not cells:
        return Judged(cells=[])
    missing = by_knob(
        cells,
        "units missing",
        heading="Units that were sold and not shown",
        caption="The most that one reading lacked of what had been booked before the rebuild began.",
        knob="bookings before the rebuild",
        unit="units",
    )
    longest = max(float(cell.knob) for cell in cells)
    last = [r for r in records if r.trial.knobs["bookings before"] == longest]
    return Judged(cells=cells, figures=[missing, _over_time(last)])


def _arm(record: Record) -> Arm:
    return IN_PLACE if record.trial.arm == IN_PLACE.name else SHADOW


def _cell(record: Record) -> Cell:
    arm, facts = _arm(record), record.trial.facts
    before: dict[str, int] = facts["before"]
    shown = msgspec.convert(facts["shown"], list[Shown])
    went_back = monotonic_reads(record.operations, record.events)
    looks = record.of("look")
    reads = [*looks, *record.of("overview")]
    lacking = [before[o.slot_id or ""] - units_taken(o) for o in looks if tells(o)]
    lacking += [sum(before.values()) - s.taken for s in shown]
    rebuilds = facts["rebuilds"]
    return Cell(
        arm=arm.name,
        guard=arm.guard,
        knob=record.trial.knobs["bookings before"],
        measures=[
            Measure(name="reads", value=len(reads)),
            Measure(name="went back", value=went_back.violations),
            Measure(name="units missing", value=max(0, *lacking) if lacking else 0),
            Measure(name="refused", value=sum(o.status not in (200, 404) for o in reads)),
            Measure(name="rebuilds", value=len(rebuilds)),
            Measure(
                name="rebuild s",
                value=max((r["seconds"] for r in rebuilds), default=0),
                digits=2,
                detail=True,
            ),
            Measure(name="bookings meanwhile", value=len(record.of("book")), detail=True),
        ],
        judgements=[
            went_back,
            units_are_conserved(looks, shown, capacity=CAPACITY, before=before),
            no_drift(record.events, msgspec.convert(facts["finals"], list[FinalSlot])),
        ],
        must_show=arm.guard == "off",
        generators=record.trial.generators,
    )


def _over_time(records: Sequence[Record]) -> Figure:
    """What overviews showed, moment by moment, in both arms."""
    drawn: list[Drawn] = []
    key: list[tuple[str, str]] = []
    for record in records:
        kind: Kind = "off" if _arm(record) is IN_PLACE else "on"
        zero_ns = record.trial.began_ns
        drawn += [
            Span(
                kind=kind,
                from_x=(mark.at_ns - zero_ns) / 1e9,
                to_x=((mark.until_ns or mark.at_ns) - zero_ns) / 1e9,
                text=mark.what if kind == "off" else "",  # the other's would lie on top
            )
            for mark in record.trial.marks
        ]
        shown = msgspec.convert(record.trial.facts["shown"], list[Shown])
        points = sorted(((s.at_ns - zero_ns) / 1e9, float(s.taken)) for s in shown)
        drawn.append(Line(kind=kind, points=thinned(points), step=True))
        key.append((kind, f"guard {_arm(record).guard}"))
    return Figure(
        heading="What the overview showed while the read model was rebuilt",
        caption="Units taken of the whole resource; the shaded stretches are the rebuilds.",
        x_label="seconds",
        y_label="units taken",
        drawn=drawn,
        key=key,
    )


SCENARIO = Scenario(
    number=13,
    name="rebuild_under_load",
    claim="The read model is folded anew while people book and read, and no reading goes back or lacks a unit that was sold.",
    fault="`projector rebuild` is typed, twice, while people book, cancel and read.",
    anomaly="readings that went back or lacked units",
    knob="bookings before",
    arms=[IN_PLACE, SHADOW],
    plan=Rebuilding(bookings_before=[2000, 8000]),
    quick=Rebuilding(bookings_before=[3000], rebuilds=1),
    measure=measure,
    judge=judge,
)
