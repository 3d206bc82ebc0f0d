"""Scenario 11, the skipped event: a slow transaction holds an early number while later ones commit.

Claim: positions are given out under the last lock before the commit, dense and in the order of commits, so even the simplest reader of the log
(`position > last`, and never a look back) is delivered every event. With numbers from a sequence, drawn when a transaction begins, it passes by
whatever commits late: the booking was answered 201 and nobody will ever find it.
"""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from loadtest.checkers.dense_numbers import dense_numbers
from loadtest.checkers.every_event_delivered import every_event_delivered
from loadtest.driver import Client, open_loop, poisson
from loadtest.evidence.trial import Record
from loadtest.experiment.charts import by_knob
from loadtest.experiment.findings import Cell, Judged, Measure
from loadtest.experiment.laboratory import Laboratory, Recorder
from loadtest.experiment.scenario import Arm, Scenario
from loadtest.failures import CannotRunError
from loadtest.history import Operation
from loadtest.system.inventory import at_rest
from loadtest.workloads.person import Person

# The same poller in both arms: it asks for higher numbers than its last one, and does not mind holes.
POLLER = {
    "PROJECTOR_SYNC": "polling",
    "PROJECTOR_POLL_MS": "20",
    "PROJECTOR_GUARD": "poll_by_id",
}
FIRST = Arm(
    name="numbers when a transaction begins",
    guard="off",
    settings={**POLLER, "BOOKING_GUARD": "slow_numbered_first"},
)
LAST = Arm(
    name="numbers when it commits",
    guard="on",
    settings={**POLLER, "BOOKING_GUARD": "slow_numbered_last"},
)

# Without the relay: what it copies into the stream has to be dense, which is the point.
PARTS = "api,projector,queries"
CAPACITY = 1_000_000
SLOW_MS = 200.0
"""Slow transactions take 250 ms; so many are held up at least."""
HISTORY_MAX = 1000


class Bookings(Struct, frozen=True, kw_only=True):
    """How many book per second; one transaction in ten is slow."""

    bookings_per_s: list[int]
    seconds: float
    slots: int = 8


class _Told(Struct):
    position: int


class _History(Struct):
    events: list[_Told]
    next_cursor: str | None = None


async def measure(lab: Laboratory, arm: Arm, plan: Bookings) -> None:
    """People book; when everything has come to rest, every booking is looked for and every slot asked for its history."""
    lab.step(f"{arm.name}: starting the system")
    async with lab.system(arm, parts=PARTS) as system, system.client() as client:
        for rate in plan.bookings_per_s:
            opened = await system.open_resource(
                capacities=[CAPACITY] * plan.slots, rng=lab.rng("slots", arm.name, rate)
            )
            lab.step(f"{arm.name}: {rate} bookings a second")
            async with lab.trial(system, arm, {"bookings/s": rate}) as record:

                async def book(
                    number: int,
                    intended_ns: int,
                    record: Recorder = record,
                    rate: int = rate,
                    slot_ids: Sequence[str] = opened.slot_ids,
                ) -> None:
                    rng = lab.rng("person", rate, number)
                    person = Person(client, record, number, rng)
                    await person.book(rng.choice(slot_ids), intended_ns=intended_ns)

                people = poisson(rate, lab.rng("people", rate))
                record.offered(await open_loop(people, book, seconds=plan.seconds))
                # Strong: what the log had when asked has been passed by now, or never will be delivered.
                for slot_id in opened.slot_ids:
                    await at_rest(client, slot_id)
                await _look_for_all(lab, client, record)
                record.note(
                    applied={
                        slot_id: await _positions_told(client, slot_id)
                        for slot_id in opened.slot_ids
                    }
                )


async def _look_for_all(lab: Laboratory, client: Client, record: Recorder) -> None:
    """Everybody looks for what they have booked."""
    for booked in [o for o in record.operations if o.op == "book" and o.outcome == "ok"]:
        if booked.booking_id is not None:
            person = Person(client, record, booked.journey, lab.rng("looking", booked.journey))
            await person.read_booking(booked.booking_id)


async def _positions_told(client: Client, slot_id: str) -> list[int]:
    """The positions of a slot's events, as the read model knows them.

    Raises:
        CannotRunError: it is not answered.
    """
    positions: list[int] = []
    cursor = ""
    while True:
        answer = await client.request(
            "GET", f"/v1/slots/{slot_id}/history?limit={HISTORY_MAX}{cursor}"
        )
        if answer.outcome != "ok":
            raise CannotRunError(f"The history of a slot cannot be read ({answer.status}).")
        page = msgspec.json.decode(answer.body, type=_History)
        positions += [event.position for event in page.events]
        if page.next_cursor is None:
            return positions
        cursor = f"&cursor={page.next_cursor}"


def judge(records: Sequence[Record], plan: Bookings) -> Judged:  # noqa: ARG001  every scenario is judged with its plan
    """One cell per arm and rate: events of the log that were never delivered, and bookings that nobody finds."""
    cells = [_cell(record) for record in records]
    figure = by_knob(
        cells,
        "never delivered",
        heading="Events that a poller by number never saw",
        caption="What commits after a higher number was read is passed by: nearly every slow transaction, and on a busy machine others.",
        knob="bookings per second",
        unit="events",
    )
    return Judged(cells=cells, figures=[figure] if cells else [])


def _cell(record: Record) -> Cell:
    arm = FIRST if record.trial.arm == FIRST.name else LAST
    delivered = every_event_delivered(record.events, record.trial.facts["applied"])
    judgements = [delivered]
    if arm is LAST:
        dense = dense_numbers(record.operations, record.events)
        # Numbers are not deliveries: they prove nothing about how often one is missed.
        judgements.append(msgspec.structs.replace(dense, opportunities=dense.violations))
    booked = [o for o in record.of("book") if o.outcome == "ok"]
    return Cell(
        arm=arm.name,
        guard=arm.guard,
        knob=record.trial.knobs["bookings/s"],
        measures=[
            Measure(name="bookings", value=len(booked)),
            Measure(name="slow", value=sum(_took_ms(o) > SLOW_MS for o in booked)),
            Measure(name="never delivered", value=delivered.violations),
            Measure(
                name="never found", value=sum(o.status == 404 for o in record.of("read_booking"))
            ),
        ],
        judgements=judgements,
        must_show=arm.guard == "off",
        generators=record.trial.generators,
    )


def _took_ms(operation: Operation) -> float:
    return (operation.return_ns - operation.invoke_ns) / 1e6


SCENARIO = Scenario(
    number=11,
    name="skipped_event",
    claim="Positions are dense and in the order of commits, so a reader that polls by position is delivered every event.",
    fault="One transaction in ten takes 250 ms, and others commit meanwhile.",
    anomaly="events that were never delivered",
    knob="bookings/s",
    arms=[FIRST, LAST],
    plan=Bookings(bookings_per_s=[20, 100], seconds=6),
    quick=Bookings(bookings_per_s=[60], seconds=2.5),
    measure=measure,
    judge=judge,
)
