"""Scenario 7, looking twice: somebody who looks again, at another query node, and sees an older state than before.

Claim: with the token of the last answer time never runs backwards for anybody, whichever node answers, and also when a node is killed meanwhile.
Three nodes are 5, 50 and 500 ms late and people are sent to them in turn; without the token they are shown older versions after newer ones as
often as a write falls into what the later node does not know yet.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean

from msgspec import Struct

from loadtest.checkers.monotonic_reads import RULE, monotonic_reads
from loadtest.driver import open_loop, poisson
from loadtest.evidence.trial import Record
from loadtest.experiment.charts import by_knob
from loadtest.experiment.findings import Cell, Judged, Measure, Theory
from loadtest.experiment.laboratory import Laboratory, Recorder
from loadtest.experiment.scenario import Arm, Scenario
from loadtest.history import Operation
from loadtest.system import System
from loadtest.system.query_nodes import QueryNode, know_all, node_name, query_nodes
from loadtest.theory.looking_twice import agreeing_share, backwards_share
from loadtest.verdict import Judgement, judged
from loadtest.workloads.person import Person

WITHOUT = Arm(name="looks without a token", guard="off")
WITH = Arm(name="looks with the token of the last answer", guard="on")

UNITS = 1_000_000
WAIT_MAX_S = 5
BAND_PERCENT = 10.0
"""How far from the theory the nodes' own few milliseconds may take it."""
BACKWARDS_MIN_PERCENT = 10.0
"""In fewer journeys than this it may have been chance, and the control has shown nothing."""
WRITERS_FROM = 1_000_000
OBSERVERS_FROM = 2_000_000


class Journeys(Struct, frozen=True, kw_only=True):
    """How late the nodes are, who comes, and how long somebody waits between two looks; writes are per second and slot."""

    gaps_ms: list[int]
    seconds: float
    lags_ms: tuple[int, ...] = (5, 50, 500)
    looks: int = 4
    people_per_s: float = 60
    observers_per_s: float = 25
    slots: int = 30
    writes_per_s: float = 2
    must_show_below_ms: int = 300
    killed_after_s: float = 2.7
    down_s: float = 0.7


async def measure(lab: Laboratory, arm: Arm, plan: Journeys) -> None:
    """People look several times, each time at the next node; others book meanwhile, and the freshest node is killed and comes back."""
    lab.step(f"{arm.name}: starting the system and {len(plan.lags_ms)} query nodes")
    async with lab.system(arm) as system, query_nodes(system, plan.lags_ms) as nodes:
        opened = await system.open_resource(
            capacities=[UNITS] * plan.slots, rng=lab.rng("slots", arm.name)
        )
        for gap_ms in plan.gaps_ms:
            await know_all(nodes, opened.slot_ids)
            lab.step(f"{arm.name}: {gap_ms} ms between two looks, one node is killed")
            async with lab.trial(
                system, arm, {"gap ms": gap_ms}, slot_ids=opened.slot_ids
            ) as record:
                crowd = _Crowd(system, record, lab, nodes, opened.slot_ids, arm, gap_ms, plan)
                await crowd.come()


class _Crowd:
    """People who look again and again, people who book, and observers who look everywhere at once."""

    def __init__(  # noqa: PLR0917 -- the people of one trial, made once
        self,
        system: System,
        record: Recorder,
        lab: Laboratory,
        nodes: Sequence[QueryNode],
        slot_ids: Sequence[str],
        arm: Arm,
        gap_ms: int,
        plan: Journeys,
    ) -> None:
        self._system, self._record, self._lab, self._nodes = system, record, lab, nodes
        self._slot_ids, self._gap_s, self._plan = slot_ids, gap_ms / 1000, plan
        self._with_token = arm.guard == "on"
        self._names = ("crowd", gap_ms)

    async def come(self) -> None:
        """All of them, and the kill."""
        plan, lab, names = self._plan, self._lab, self._names
        journey_s, head_start_s = plan.looks * self._gap_s, max(plan.lags_ms) / 1000
        async with self._system.client() as self._desk, asyncio.TaskGroup() as together:
            together.create_task(
                open_loop(
                    poisson(plan.writes_per_s * plan.slots, lab.rng(*names, "writers")),
                    self._book,
                    seconds=head_start_s + plan.seconds + journey_s,
                )
            )
            # As long as nobody has booked all nodes agree.
            await asyncio.sleep(head_start_s)
            looking = together.create_task(
                open_loop(
                    poisson(plan.people_per_s, lab.rng(*names, "people")),
                    self._look_again_and_again,
                    seconds=plan.seconds,
                )
            )
            together.create_task(
                open_loop(
                    poisson(plan.observers_per_s, lab.rng(*names, "observers")),
                    self._look_everywhere,
                    seconds=plan.seconds,
                )
            )
            together.create_task(self._kill_the_freshest())
        self._record.offered(looking.result())

    def _person(self, number: int, *, first: int = 0) -> tuple[Person, str]:
        rng = self._lab.rng(*self._names, first, number)
        slot_id = self._slot_ids[rng.randrange(len(self._slot_ids))]
        return Person(self._desk, self._record, first + number, rng), slot_id

    async def _look_again_and_again(self, number: int, intended_ns: int) -> None:
        person, slot_id = self._person(number)
        token = None
        for turn in range(self._plan.looks):
            if turn:
                await asyncio.sleep(self._gap_s)
            node = self._nodes[(number + turn) % len(self._nodes)]
            look = await person.look(
                slot_id,
                token=token if self._with_token else None,
                wait_s=WAIT_MAX_S if self._with_token and token else None,
                intended_ns=None if turn else intended_ns,
                client=node.client,
                node=node.name,
            )
            token = look.token_out or token

    async def _look_everywhere(self, number: int, intended_ns: int) -> None:
        person, slot_id = self._person(number, first=OBSERVERS_FROM)
        await asyncio.gather(
            *(
                person.look(slot_id, intended_ns=intended_ns, client=node.client, node=node.name)
                for node in self._nodes
            )
        )

    async def _book(self, number: int, intended_ns: int) -> None:
        person, slot_id = self._person(number, first=WRITERS_FROM)
        await person.book(slot_id, intended_ns=intended_ns)

    async def _kill_the_freshest(self) -> None:
        """Whoever had been there must go on at a node that is later."""
        part = self._nodes[0].part
        if part is None:
            return
        await asyncio.sleep(self._plan.killed_after_s)
        with self._system.faults.marked(f"{self._nodes[0].name} is killed"):
            await part.kill()
            await asyncio.sleep(self._plan.down_s)
            await part.start(until_ready=False)


def judge(records: Sequence[Record], plan: Journeys) -> Judged:
    """One cell per arm and gap: journeys in which time ran backwards, beside what the nodes' lags let expect."""
    cells = [_cell(record, plan) for record in records]
    if not cells:
        return Judged(cells=[])
    backwards = by_knob(
        cells,
        "backwards %",
        heading="Journeys in which time ran backwards",
        caption="Who looks again too soon is shown less than before, as often as somebody booked in what the later node does not know yet.",
        knob="g, time between two looks (ms)",
        unit="% of journeys",
        theory="1 − E[e^(−w·hidden)]",
        y_max=100,
    )
    waits = by_knob(
        [cell for cell in cells if cell.guard == "on"],
        "wait ms",
        heading="What the token costs",
        caption="A node that is behind waits until it has come as far as the last answer, and no longer.",
        knob="g, time between two looks (ms)",
        unit="mean wait of a look (ms)",
    )
    return Judged(cells=cells, figures=[backwards, waits])


def _cell(record: Record, plan: Journeys) -> Cell:
    arm = WITH if record.trial.arm == WITH.name else WITHOUT
    gap_ms = int(record.trial.knobs["gap ms"])
    looks = [o for o in record.of("look") if o.journey < WRITERS_FROM]
    complete = [
        journey for journey in journeys(looks).values() if all(o.status == 200 for o in journey)
    ]
    backwards = 100 * fmean(_runs_backwards(j) for j in complete) if complete else 0.0
    writes_per_s = _writes_per_slot_and_s(record, plan)
    shown = [moments for j in complete if (moments := moments_shown_ms(j, plan)) is not None]
    theory = None
    if arm is WITHOUT and shown:
        expected = 100 * fmean(backwards_share(moments, writes_per_s) for moments in shown)
        theory = Theory(of="backwards %", formula="1−e^(−wh)", expected=expected, band=BAND_PERCENT)
    must_show = arm is WITHOUT and gap_ms < plan.must_show_below_ms
    # Observers have no token and promise nothing: they look everywhere at once, more or less.
    judgement = monotonic_reads(looks, record.events)
    if must_show and backwards <= BACKWARDS_MIN_PERCENT:
        judgement = _may_have_been_chance(judgement, backwards)
    agree, asked = agreeing(record)
    alike = 100 * agreeing_share(plan.lags_ms, writes_per_s)
    return Cell(
        arm=arm.name,
        guard=arm.guard,
        knob=gap_ms,
        measures=[
            Measure(name="journeys", value=len(journeys(looks))),
            Measure(name="backwards %", value=backwards, digits=1),
            Measure(name="agree %", value=100 * agree / max(1, asked), digits=1),
            Measure(
                name="wait ms", value=fmean([o.wait_ms or 0.0 for o in looks] or [0.0]), digits=1
            ),
            Measure(name="no answer", value=sum(o.status != 200 for o in looks)),
            Measure(name="theory agree %", value=alike, digits=1, detail=True),
        ],
        theory=theory,
        judgements=[judgement],
        must_show=must_show,
        generators=record.trial.generators,
    )


def journeys(looks: Sequence[Operation]) -> Mapping[int, list[Operation]]:
    """Each person's looks, in their order."""
    found: dict[int, list[Operation]] = defaultdict(list)
    for look in sorted(looks, key=lambda o: o.invoke_ns):
        found[look.journey].append(look)
    return found


def _runs_backwards(journey: Sequence[Operation]) -> bool:
    versions = [look.version or 0 for look in journey]
    return versions != sorted(versions)


def moments_shown_ms(journey: Sequence[Operation], plan: Journeys) -> list[float] | None:
    """Which moments somebody was shown, by the lags of the nodes; None of nodes whose lag is not ours."""
    lag_ms = {node_name(lag_ms): lag_ms for lag_ms in plan.lags_ms}
    if any(look.node not in lag_ms for look in journey):
        return None
    return [(look.invoke_ns + look.return_ns) / 2e6 - lag_ms[look.node or ""] for look in journey]


def agreeing(record: Record) -> tuple[int, int]:
    """How often nodes asked at once showed the same version, and how often all of them answered."""
    asked = [
        {look.version for look in looks}
        for looks in journeys(
            [o for o in record.of("look") if o.journey >= OBSERVERS_FROM]
        ).values()
        if all(look.status == 200 for look in looks)
    ]
    return sum(len(versions) == 1 for versions in asked), len(asked)


def _writes_per_slot_and_s(record: Record, plan: Journeys) -> float:
    booked = [o.return_ns for o in record.of("book") if o.outcome == "ok"]
    seconds = (max(booked) - min(booked)) / 1e9 if len(booked) > 1 else 0.0
    return len(booked) / seconds / plan.slots if seconds else 0.0


def _may_have_been_chance(judgement: Judgement, percent: float) -> Judgement:
    hole = f"time ran backwards in only {percent:.1f} % of the journeys"
    return judged(RULE, opportunities=judgement.opportunities, hole=hole)


SCENARIO = Scenario(
    number=7,
    name="looking_twice",
    claim="With the token of the last answer nobody sees an older state after a newer one, whichever node answers and whichever is killed.",
    fault="Three query nodes are 5, 50 and 500 ms late, and the freshest is killed and comes back.",
    anomaly="looks that showed an older state than the one before",
    knob="gap ms",
    arms=[WITHOUT, WITH],
    plan=Journeys(gaps_ms=[0, 200, 600], seconds=4),
    quick=Journeys(gaps_ms=[0], seconds=3, killed_after_s=1.8),
    measure=measure,
    judge=judge,
    target=True,
    left_out="The nodes are those behind the deployment's address, as late as they are by themselves; none is killed.",
)
