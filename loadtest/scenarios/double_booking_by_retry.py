"""Scenario 5, double booking by retry: who gets no answer asks again, and what they asked for may have been done the first time.

Claim: with one `Idempotency-Key` per wish there is one booking per wish, a repetition gets the same answer to the byte, and another body under the
same key is refused (422). Answers are lost in three ways: on the wire, by clients that give up early, and by an API killed between commit and
answer. The control arm makes a new key for every try, which is what having none means; its duplicates are theory's: P(committed and answer lost)·n.
"""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from random import Random

from msgspec import Struct

from loadtest.checkers.integrity import NEW
from loadtest.checkers.one_booking_per_intent import one_booking_per_intent
from loadtest.driver import Client, open_loop, poisson
from loadtest.evidence.trial import Record
from loadtest.experiment.figures import Dots, Figure, Line
from loadtest.experiment.findings import Cell, Judged, Measure, Theory
from loadtest.experiment.laboratory import Laboratory
from loadtest.experiment.scenario import Arm, Scenario
from loadtest.failures import CannotRunError
from loadtest.faults import Faults
from loadtest.history import UNDECIDED
from loadtest.system import System
from loadtest.system.part import Part
from loadtest.verdict import Judgement, Witness, judged
from loadtest.workloads.meanwhile import meanwhile
from loadtest.workloads.person import Person

EVERY_TRY = Arm(name="a new key for every try", guard="off")
EVERY_WISH = Arm(name="one key per wish", guard="on")

LOST = "answers lost"
LATE = "clients give up"
KILLED = "API killed"

UNITS = 1_000_000
REUSED = 422
# One in so many asks once more after the answer, and one in so many says something else under the same key.
CURIOUS_EVERY = 10

Way = Callable[[Random], Client]
"""By which connection a try goes."""


class Retries(Struct, frozen=True, kw_only=True):
    """How many people, and how their answers are lost; who has none asks again after a moment, until `give_up_s`."""

    people_per_s: float
    seconds: float
    faults: list[str]
    lose_share: float = 0.05
    slow_share: float = 0.1
    slow_by_ms: int = 700
    patience_s: float = 0.3
    kill_at_sale: int = 4
    kills: int = 3
    again_after_s: tuple[float, float] = (0.05, 0.2)
    give_up_s: float = 12.0


async def measure(lab: Laboratory, arm: Arm, plan: Retries) -> None:
    """Each way to lose an answer in turn; nobody can kill a process of somebody's deployment."""
    lab.step(f"{arm.name}: starting the system")
    async with lab.system(arm) as system, system.client() as client:
        for fault in plan.faults:
            if fault == KILLED and lab.target is not None:
                continue
            opened = await system.open_resource(
                capacities=[UNITS], rng=lab.rng("slot", arm.name, fault)
            )
            slot_id = opened.slot_ids[0]
            lab.step(f"{arm.name}: {fault}")
            async with (
                lab.trial(system, arm, {"fault": fault}, slot_ids=[slot_id]) as record,
                _WAYS[fault](lab, system, plan) as way,
            ):

                async def visit(
                    number: int, intended_ns: int, fault: str = fault, slot_id: str = slot_id
                ) -> None:
                    rng = lab.rng("person", fault, number)
                    person = Person(client, record, number, rng, digests=True)
                    key = await _insist(
                        person, slot_id, arm, way, rng, plan=plan, intended_ns=intended_ns
                    )
                    if key is None or arm.guard == "off":
                        return
                    if number % CURIOUS_EVERY == 0:
                        await person.book(slot_id, key=key, intent=_intent(number), client=way(rng))
                    elif number % CURIOUS_EVERY == 1:
                        await person.book(slot_id, 2, key=key, client=way(rng))

                people = poisson(plan.people_per_s, lab.rng("people", fault))
                record.offered(await open_loop(people, visit, seconds=plan.seconds))


def _intent(number: int) -> str:
    return f"wish {number}"


async def _insist(
    person: Person,
    slot_id: str,
    arm: Arm,
    way: Way,
    rng: Random,
    *,
    plan: Retries,
    intended_ns: int,
) -> str | None:
    """Asks until there is an answer; the key of the try that was answered, None when nobody ever answered."""
    ends_s = time.monotonic() + plan.give_up_s
    key = person.new_key()
    intent = _intent(person.journey)
    booked = await person.book(
        slot_id, key=key, intent=intent, intended_ns=intended_ns, client=way(rng)
    )
    while booked.status in UNDECIDED:
        if time.monotonic() > ends_s:
            return None
        await asyncio.sleep(rng.uniform(*plan.again_after_s))
        if arm.guard == "off":
            key = person.new_key()
        booked = await person.book(slot_id, key=key, intent=intent, client=way(rng))
    return key


@contextlib.asynccontextmanager
async def _losing(lab: Laboratory, system: System, plan: Retries) -> AsyncIterator[Way]:
    """A wire that loses some answers, whatever they say."""
    proxy = await system.faults.tcp_proxy(system.url, rng=lab.rng("lossy wire"))
    proxy.lose_answers = plan.lose_share
    with system.faults.marked(LOST):
        async with system.client(proxy.url) as lossy:
            yield lambda _: lossy


@contextlib.asynccontextmanager
async def _giving_up(lab: Laboratory, system: System, plan: Retries) -> AsyncIterator[Way]:
    """Some tries go over a wire that is slower than the clients are patient; what they asked for is done meanwhile."""
    proxy = await system.faults.tcp_proxy(system.url, rng=lab.rng("slow wire"))
    proxy.delay_ms = plan.slow_by_ms
    async with (
        system.client(timeout_s=plan.patience_s) as usual,
        system.client(proxy.url, timeout_s=plan.patience_s) as slow,
    ):
        yield lambda rng: slow if rng.random() < plan.slow_share else usual


@contextlib.asynccontextmanager
async def _killing(_: Laboratory, system: System, plan: Retries) -> AsyncIterator[Way]:
    """An API that dies when so many of its sales are committed, before anybody hears of the last one; after some deaths another takes its place."""
    api = await system.part("api", {"BOOKING_FAULT": f"kill_after_commit:{plan.kill_at_sale}"})
    dead = asyncio.Event()
    try:
        async with (
            system.client(api.url) as mortal,
            system.client() as other,
            meanwhile(_dies(api, system.faults, dead, times=plan.kills)),
        ):
            yield lambda _: other if dead.is_set() else mortal
    finally:
        await api.stop()


async def _dies(api: Part, faults: Faults, dead: asyncio.Event, *, times: int) -> None:
    """Starts it again until the fault has killed it so often.

    Raises:
        CannotRunError: it died of something else, or does not come back.
    """
    for death in range(1, times + 1):
        await api.struck()
        with faults.marked(KILLED):
            if death < times:
                try:
                    await api.start()
                except CannotRunError:
                    # Those who wait may buy so fast that it is dead again before it is seen to be ready.
                    if not api.ended:
                        raise
    dead.set()


_WAYS = {LOST: _losing, LATE: _giving_up, KILLED: _killing}


def judge(records: Sequence[Record], plan: Retries) -> Judged:
    """One cell per arm and fault: wishes that became two bookings, beside what theory expects of answers that are lost."""
    cells = [_cell(record, plan) for record in records]
    return Judged(cells=cells, figures=[_figure(cells)] if cells else [])


def _cell(record: Record, plan: Retries) -> Cell:
    arm = EVERY_WISH if record.trial.arm == EVERY_WISH.name else EVERY_TRY
    fault = str(record.trial.knobs["fault"])
    booked = {
        event.command_id
        for event in record.events
        if event.type in NEW and event.data.before is None and event.booking_id is not None
    }
    keys_of: dict[str, set[str]] = defaultdict(set)
    unheard: set[tuple[str, str]] = set()
    for o in record.of("book"):
        if o.intent is not None and o.key is not None:
            keys_of[o.intent].add(o.key)
            if o.outcome == "indeterminate" and o.key in booked:
                unheard.add((o.intent, o.key))
    too_often = sum(max(0, len(keys & booked) - 1) for keys in keys_of.values())
    judgements = [one_booking_per_intent(record.operations, record.events)]
    if arm is EVERY_WISH:
        judgements.append(_other_body_refused(record))
    share = {LOST: plan.lose_share, LATE: plan.slow_share}.get(fault)
    return Cell(
        arm=arm.name,
        guard=arm.guard,
        knob=fault,
        measures=[
            Measure(name="wishes", value=len(keys_of)),
            Measure(name="done unheard", value=len(unheard)),
            Measure(name="booked too often", value=too_often),
            Measure(
                name="tries",
                value=sum(o.intent is not None for o in record.of("book")),
                detail=True,
            ),
            Measure(
                name="kills",
                value=sum(mark.what == KILLED for mark in record.trial.marks),
                detail=True,
            ),
        ],
        theory=_theory(len(keys_of), share) if arm is EVERY_TRY and share is not None else None,
        judgements=judgements,
        must_show=arm.guard == "off",
        generators=record.trial.generators,
    )


def _theory(wishes: int, share: float) -> Theory:
    """Every try is done, and its answer lost with this probability: so many tries more than wishes, geometrically distributed."""
    return Theory(
        of="booked too often",
        formula="n·p/(1−p)",
        expected=wishes * share / (1 - share),
        band=3 * (wishes * share) ** 0.5 / (1 - share),
    )


def _other_body_refused(record: Record) -> Judgement:
    """Who says something else under a used key is told so, and gets neither the old answer nor a booking."""
    others = [o for o in record.of("book") if o.intent is None and o.decided]
    witnesses = [
        Witness(
            story="journey {journey} said something else under key {key} and was answered {status}, not 422",
            facts={"journey": o.journey, "key": o.key, "status": o.status},
        )
        for o in others
        if o.status != REUSED
    ]
    return judged("other_body_refused", opportunities=len(others), witnesses=witnesses)


def _figure(cells: Sequence[Cell]) -> Figure:
    most = max(cell.measured("done unheard") for cell in cells)
    dots = {
        kind: [
            (
                cell.measured("done unheard"),
                cell.measured("booked too often"),
                f"{cell.knob}, {cell.arm}\n{cell.measured('wishes'):.0f} wishes",
            )
            for cell in cells
            if cell.guard == kind
        ]
        for kind in ("off", "on")
    }
    return Figure(
        heading="What becomes of a booking whose answer is lost",
        caption="Without a key each of them is made again; with it the second try gets the answer of the first.",
        x_label="tries that were done and never answered",
        y_label="bookings too many",
        drawn=[
            Line(kind="theory", points=[(0.0, 0.0), (most, most)], dashed=True),
            Dots(kind="off", points=dots["off"]),
            Dots(kind="on", points=dots["on"]),
        ],
        key=[("theory", "one for one"), ("off", "guard off"), ("on", "guard on")],
    )


SCENARIO = Scenario(
    number=5,
    name="double_booking_by_retry",
    claim="However answers are lost and tries repeated, a key has one booking, one answer to the byte, and no other body.",
    fault="A wire loses answers, clients give up early, the API is killed between commit and answer.",
    anomaly="wishes that were booked twice",
    knob="fault",
    arms=[EVERY_TRY, EVERY_WISH],
    plan=Retries(people_per_s=250, seconds=5, faults=[LOST, LATE, KILLED]),
    quick=Retries(people_per_s=200, seconds=1.2, faults=[LOST, KILLED]),
    measure=measure,
    judge=judge,
    target=True,
    left_out="No process is killed: answers are lost on the wire and by clients that give up.",
)
