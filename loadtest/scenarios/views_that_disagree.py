"""Scenario 9, views that disagree: a page shows what is left, who is coming and what happened, while others book.

Claim: `/overview` reads all three from one snapshot, so they add up, always: what remains and what is taken make the capacity, and what is taken
is what the bookings say and what the activity sums to. Three requests joined by the page are of three moments; each is right, and together they
are not.
"""

from collections.abc import Sequence
from typing import TypeVar

import msgspec
from msgspec import Struct

from loadtest.driver import Client, Exchange, open_loop, poisson
from loadtest.evidence.trial import Record
from loadtest.experiment.charts import by_knob
from loadtest.experiment.findings import Cell, Judged, Measure
from loadtest.experiment.laboratory import Laboratory, Recorder
from loadtest.experiment.scenario import Arm, Scenario
from loadtest.system.inventory import Opened
from loadtest.verdict import Judgement, Witness, judged
from loadtest.workloads.person import Person

JOINED = Arm(name="three requests joined", guard="off")
OVERVIEW = Arm(name="one overview", guard="on")

T = TypeVar("T")

RULE = "pages_add_up"
CAPACITY = 5000
LIST_MAX = 1000
"""The longest page of bookings; a trial has fewer, so nothing is left out of the sum."""


class Pages(Struct, frozen=True, kw_only=True):
    """How fast people book meanwhile, and how often somebody opens the page."""

    bookings_per_s: list[int]
    pages_per_s: float
    seconds: float
    cancel_share: float = 0.3


class Page(Struct, frozen=True, kw_only=True):
    """What one page showed; `listed` are units of live bookings, `happened` units booked less units cancelled."""

    journey: int
    capacity: int
    remaining: int
    taken: int
    listed: int
    happened: int
    positions: list[int]

    @property
    def adds_up(self) -> bool:
        """Whether its numbers can be true together."""
        return (
            self.remaining + self.taken == self.capacity
            and self.taken == self.listed == self.happened
        )


class _Line(Struct):
    units: int


class _Booking(Struct):
    state: str
    lines: list[_Line]


class _List(Struct):
    bookings: list[_Booking]
    position: int


class _Slot(Struct):
    capacity: int
    held: int
    confirmed: int
    remaining: int
    position: int


class _Activity(Struct):
    confirmed_units: int
    cancelled_units: int


class _Hours(Struct):
    hours: list[_Activity]
    position: int


class _Units(Struct):
    units: int


class _States(Struct):
    held: _Units
    confirmed: _Units


class _Totals(Struct):
    capacity: int
    held: int
    confirmed: int
    remaining: int


class _Overview(Struct):
    availability: _Totals
    bookings: _States
    activity: _Activity
    position: int


async def measure(lab: Laboratory, arm: Arm, plan: Pages) -> None:
    """People book and cancel at some rate; others open the page meanwhile."""
    lab.step(f"{arm.name}: starting the system")
    async with lab.system(arm) as system, system.client() as client:
        for rate in plan.bookings_per_s:
            opened = await system.open_resource(
                capacities=[CAPACITY], rng=lab.rng("slot", arm.name, rate)
            )
            lab.step(f"{arm.name}: {rate} bookings a second")
            async with lab.trial(
                system, arm, {"bookings/s": rate}, slot_ids=opened.slot_ids
            ) as record:
                crowd = _Crowd(client, record, lab, arm, opened, rate=rate, plan=plan)
                people = poisson(plan.pages_per_s + rate, lab.rng("people", rate))
                record.offered(await open_loop(people, crowd.visit, seconds=plan.seconds))
                record.note(pages=msgspec.to_builtins(crowd.pages))


class _Crowd:
    """People who book, and people who open the page; which of both is drawn."""

    def __init__(
        self,
        client: Client,
        record: Recorder,
        lab: Laboratory,
        arm: Arm,
        opened: Opened,
        *,
        rate: int,
        plan: Pages,
    ) -> None:
        self.pages: list[Page] = []
        self._client, self._record, self._lab = client, record, lab
        self._look = _three_requests if arm is JOINED else _one_overview
        self._resource_id, self._slot_id = opened.resource_id, opened.slot_ids[0]
        self._rate, self._plan = rate, plan

    async def visit(self, number: int, intended_ns: int) -> None:
        """One of them."""
        rng = self._lab.rng("person", self._rate, number)
        person = Person(self._client, self._record, number, rng)
        if rng.random() < self._plan.pages_per_s / (self._plan.pages_per_s + self._rate):
            page = await self._look(person, self._slot_id, self._resource_id)
            if page is not None:
                self.pages.append(page)
            return
        booked = await person.book(self._slot_id, rng.randint(1, 3), intended_ns=intended_ns)
        if booked.booking_id is not None and rng.random() < self._plan.cancel_share:
            await person.change("cancel", booked.booking_id)


async def _three_requests(person: Person, slot_id: str, resource_id: str) -> Page | None:
    """What a page does that has a request for each of its parts."""
    await person.do("page_slot", "GET", f"/v1/slots/{slot_id}")
    slot = _read(person.last, _Slot)
    await person.do("page_bookings", "GET", f"/v1/bookings?slot_id={slot_id}&limit={LIST_MAX}")
    listed = _read(person.last, _List)
    await person.do("page_activity", "GET", f"/v1/activity?resource_id={resource_id}")
    activity = _read(person.last, _Hours)
    if slot is None or listed is None or activity is None:
        return None
    return Page(
        journey=person.journey,
        capacity=slot.capacity,
        remaining=slot.remaining,
        taken=slot.held + slot.confirmed,
        listed=sum(
            line.units
            for booking in listed.bookings
            if booking.state in ("held", "confirmed")
            for line in booking.lines
        ),
        happened=sum(h.confirmed_units - h.cancelled_units for h in activity.hours),
        positions=[slot.position, listed.position, activity.position],
    )


async def _one_overview(person: Person, slot_id: str, resource_id: str) -> Page | None:  # noqa: ARG001  the other way needs it
    """The same from one snapshot."""
    await person.do("page_overview", "GET", f"/v1/resources/{resource_id}/overview")
    seen = _read(person.last, _Overview)
    if seen is None:
        return None
    return Page(
        journey=person.journey,
        capacity=seen.availability.capacity,
        remaining=seen.availability.remaining,
        taken=seen.availability.held + seen.availability.confirmed,
        listed=seen.bookings.held.units + seen.bookings.confirmed.units,
        happened=seen.activity.confirmed_units - seen.activity.cancelled_units,
        positions=[seen.position],
    )


def _read(exchange: Exchange | None, kind: type[T]) -> T | None:
    if exchange is None or exchange.outcome != "ok":
        return None
    return msgspec.json.decode(exchange.body, type=kind)


def judge(records: Sequence[Record], plan: Pages) -> Judged:  # noqa: ARG001  every scenario is judged with its plan
    """One cell per arm and rate: pages that do not add up."""
    cells = [_cell(record) for record in records]
    figure = by_knob(
        cells,
        "wrong %",
        heading="Pages whose numbers contradict each other",
        caption="Three requests see three moments; the faster others book, the more often the sums differ.",
        knob="bookings per second",
        unit="% of pages",
    )
    return Judged(cells=cells, figures=[figure] if cells else [])


def _cell(record: Record) -> Cell:
    arm = JOINED if record.trial.arm == JOINED.name else OVERVIEW
    pages = msgspec.convert(record.trial.facts["pages"], list[Page])
    judgement = pages_add_up(pages)
    wrong = [abs(page.taken - page.listed) for page in pages if not page.adds_up]
    return Cell(
        arm=arm.name,
        guard=arm.guard,
        knob=record.trial.knobs["bookings/s"],
        measures=[
            Measure(name="pages", value=len(pages)),
            Measure(name="wrong %", value=100 * len(wrong) / max(1, len(pages)), digits=1),
            Measure(name="worst units", value=max(wrong, default=0)),
            Measure(name="bookings", value=len(record.of("book")), detail=True),
        ],
        judgements=[judgement],
        must_show=arm.guard == "off",
        generators=record.trial.generators,
    )


def pages_add_up(pages: Sequence[Page]) -> Judgement:
    """Opportunities are pages; a witness is a page whose numbers cannot be true together."""
    witnesses = [
        Witness(
            story="journey {journey} was shown {taken} units taken and {remaining} left of {capacity}, {listed} by the bookings and {happened} by what happened, at positions {positions}",
            facts={
                "journey": page.journey,
                "capacity": page.capacity,
                "remaining": page.remaining,
                "taken": page.taken,
                "listed": page.listed,
                "happened": page.happened,
                "positions": ", ".join(map(str, page.positions)),
            },
            size=page.taken,
        )
        for page in pages
        if not page.adds_up
    ]
    return judged(RULE, opportunities=len(pages), witnesses=witnesses)


SCENARIO = Scenario(
    number=9,
    name="views_that_disagree",
    claim="What is left, who is coming and what happened add up on every overview, whatever others do meanwhile.",
    fault="Others book and cancel while the page is read.",
    anomaly="pages whose numbers contradict each other",
    knob="bookings/s",
    arms=[JOINED, OVERVIEW],
    plan=Pages(bookings_per_s=[30, 120], pages_per_s=40, seconds=6),
    quick=Pages(bookings_per_s=[100], pages_per_s=40, seconds=2.5),
    measure=measure,
    judge=judge,
)
