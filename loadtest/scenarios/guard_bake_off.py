"""The guard bake-off: ten ways to guard the last place, the same buyers, on one slot at a time, on 16, and on 10,000.

What is compared: how many attempts are answered, how long they take, what had to be run again, who was given up or sent away wrongly. What is
judged: whether more was sold than there was. Three of the ten must oversell, and the others must not. Slots are sold in groups, one after the
other, and twice as many units are wanted as there are, so that a fast guard sells more groups, and every guard the same ones.
"""

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from loadtest.driver import closed_loop
from loadtest.evidence.trial import Knob, Record
from loadtest.experiment.charts import beside_each_other, tip
from loadtest.experiment.figures import Figure, Kind
from loadtest.experiment.findings import Cell, Judged, Measure
from loadtest.experiment.laboratory import Laboratory
from loadtest.experiment.scenario import Arm, Scenario
from loadtest.instruments.server_load import Gauge, load_between
from loadtest.instruments.sold_by_the_log import sold_by_the_log
from loadtest.system.inventory import open_resource
from loadtest.system.metrics import read_metrics
from loadtest.system.ten_guards import GUARDS, OVERSELLING, VIEWING
from loadtest.workloads.crowded_slots import (
    ACCEPTED,
    GIVEN_UP,
    NOT_KNOWN,
    REFUSED,
    Answers,
    Group,
    nothing_oversold,
    sent_away,
    slots_of,
    wanted_of,
)
from loadtest.workloads.many_bookings import in_order

ARMS = [
    Arm(
        name=guard,
        guard="off" if guard in OVERSELLING else "on",
        settings={"BOOKING_GUARD": guard},
    )
    for guard in GUARDS
]
RERUNS = "booking_reruns_total"
WARM_UP_UNITS = 1_000


ONE = Group(called=1, slots=1, capacity=24, party_max=3, groups=800)
SIXTEEN = Group(called=16, slots=16, capacity=8, party_max=3, groups=160)
TEN_THOUSAND = Group(called=10_000, slots=125, capacity=1, party_max=1, groups=80)


class BakeOff(Struct, frozen=True, kw_only=True):
    """Which groups, how long each guard sells them, over how many connections, and which guards are left out."""

    groups: list[Group]
    seconds: float
    warm_up_s: float
    connections: int = 32
    left_out: list[str] = []


async def measure(lab: Laboratory, arm: Arm, plan: BakeOff) -> None:
    """One system per guard; it sells all kinds of groups."""
    if arm.name in plan.left_out:
        return
    lab.step(f"{arm.name}: starting the system")
    parts = None if arm.name == VIEWING else "api"
    async with lab.system(arm, parts=parts) as system, system.client() as client:
        gauge, metrics_url = Gauge(system), system.run_file().metrics_url
        warm = await open_resource(
            client, capacities=[WARM_UP_UNITS], rng=lab.rng("warm up"), shown=arm.name == VIEWING
        )
        await closed_loop(
            system.url,
            connections=plan.connections,
            seconds=plan.warm_up_s,
            next_request=in_order(system.url, "/v1/bookings", [(warm.slot_ids[0], 1)]),
        )
        for group in plan.groups:
            rng = lab.rng("buyers", group.called)
            wanted = wanted_of(group, rng)
            opened = await open_resource(
                client,
                capacities=[group.capacity] * (group.slots * group.groups),
                rng=rng,
                shown=arm.name == VIEWING,
            )
            requests = [(opened.slot_ids[slot], units) for slot, units in wanted]
            answers = Answers(len(wanted))
            on_sale = "1 slot" if group.called == 1 else f"{group.called:,} slots"
            lab.step(f"{arm.name}: {on_sale} for {plan.seconds:g} s")
            async with lab.trial(system, arm, {"slots": group.called}, read_log=False) as record:
                reruns, before = await _reruns(metrics_url), await gauge.read()
                totals = await closed_loop(
                    system.url,
                    connections=plan.connections,
                    seconds=plan.seconds,
                    next_request=in_order(system.url, "/v1/bookings", requests),
                    on_answer=answers.note,
                )
                load = load_between(before, await gauge.read())
                sold = await sold_by_the_log(gauge)
                sent = min(len(wanted), totals.statuses.total() + totals.unanswered)
                record.note(
                    slot_ids=opened.slot_ids,
                    capacity=group.capacity,
                    wanted=wanted[:sent],
                    statuses=answers.statuses[:sent].tolist(),
                    sold=[sold.get(slot_id, 0) for slot_id in opened.slot_ids],
                    seconds=totals.seconds,
                    answered=totals.statuses.total(),
                    p50_ms=totals.percentile_ms(50),
                    p99_ms=totals.percentile_ms(99),
                    aborts=await _reruns(metrics_url) - reruns,
                    database_cpu_ms=load.cpu("postgres") * load.seconds,
                )


async def _reruns(metrics_url: str) -> float:
    """Deciding calls that were rolled back so far."""
    told = await read_metrics(metrics_url, label="error")
    return sum(value for (name, _), value in told.items() if name == RERUNS)


def judge(records: Sequence[Record], plan: BakeOff) -> Judged:  # noqa: ARG001  every scenario is judged with its plan
    """One cell per guard and number of slots."""
    cells = [_cell(record) for record in records]
    return Judged(cells=cells, figures=_figures(cells) if cells else [])


def _cell(record: Record) -> Cell:
    facts = record.trial.facts
    guard = record.trial.arm
    slots = slots_of(facts)
    statuses = Counter(facts["statuses"])
    answered = facts["answered"]
    lost = statuses[NOT_KNOWN] + sum(
        count
        for status, count in statuses.items()
        if status not in (ACCEPTED, REFUSED, GIVEN_UP, NOT_KNOWN)
    )
    notes = [f"{lost} requests failed or were never answered"] if lost else []
    if answered > len(facts["wanted"]):
        notes.append("all slots were sold before the time was up, so the last were asked for again")
    return Cell(
        arm=guard,
        guard="off" if guard in OVERSELLING else "on",
        knob=record.trial.knobs["slots"],
        measures=[
            Measure(name="oversold", value=sum(slot.oversold for slot in slots)),
            Measure(name="attempts per s", value=answered / facts["seconds"]),
            Measure(name="p50 ms", value=facts["p50_ms"], digits=1, detail=True),
            Measure(name="p99 ms", value=facts["p99_ms"]),
            Measure(
                name="retries", value=max(0, facts["aborts"] - statuses[GIVEN_UP]), detail=True
            ),
            Measure(name="aborts", value=facts["aborts"]),
            Measure(name="given up", value=statuses[GIVEN_UP], detail=True),
            Measure(name="falsely sold out", value=sent_away(facts, slots)),
            Measure(name="attempts", value=answered, detail=True),
            Measure(name="accepted", value=statuses[ACCEPTED], detail=True),
            Measure(
                name="database CPU µs per attempt",
                value=1000 * facts["database_cpu_ms"] / max(1, answered),
                detail=True,
            ),
        ],
        judgements=[nothing_oversold(facts["slot_ids"], slots)],
        # With a slot per buyer or two nobody need meet anybody, and chance decides.
        must_show=guard in OVERSELLING and record.trial.knobs["slots"] == ONE.called,
        notes=notes,
    )


def _figures(cells: Sequence[Cell]) -> list[Figure]:
    return [
        _by_guard(
            cells,
            "attempts per s",
            heading="Attempts answered per second",
            caption="Half of them are refused, because twice as many units are wanted as there are.",
            unit="attempts per second",
        ),
        _by_guard(
            cells,
            "p99 ms",
            heading="How long the slowest wait",
            caption="The 99th percentile of an answer's latency.",
            unit="ms",
        ),
        _by_guard(
            cells,
            "oversold",
            heading="Units sold that did not exist",
            caption="By the event log; none stands at the lower edge.",
            unit="units",
        ),
    ]


def _by_guard(
    cells: Sequence[Cell], measure: str, *, heading: str, caption: str, unit: str
) -> Figure:
    """A place for each guard, a colour for each number of slots."""
    colours: dict[Knob, Kind] = dict(
        zip(dict.fromkeys(cell.knob for cell in cells), ("a", "b", "c", "d"), strict=False)
    )
    return beside_each_other(
        list(dict.fromkeys(cell.arm for cell in cells)),
        [
            (
                colour,
                "1 slot" if slots == 1 else f"{slots:,} slots",
                [
                    (cell.arm, cell.measured(measure), tip(cell, cell.arm, measure, "slots"))
                    for cell in cells
                    if cell.knob == slots
                ],
            )
            for slots, colour in colours.items()
        ],
        heading=heading,
        caption=caption,
        what="guard",
        unit=unit,
    )


SCENARIO = Scenario(
    number=19,
    name="guard_bake_off",
    claim="Seven ways to guard the last place sell nothing twice, at very different costs; three that look alike do.",
    fault="Everybody comes at once, and twice as much is wanted as there is.",
    anomaly="slots sold beyond their capacity",
    knob="slots",
    arms=ARMS,
    plan=BakeOff(groups=[ONE, SIXTEEN, TEN_THOUSAND], seconds=2, warm_up_s=0.3),
    quick=BakeOff(
        groups=[ONE],
        seconds=0.5,
        warm_up_s=0.1,
        left_out=["conditional_write_singly", "advisory_lock_then_count"],
    ),
    measure=measure,
    judge=judge,
)
