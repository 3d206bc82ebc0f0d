"""The claim that size does not matter: the same sale on 1,000 slots with a log that has just begun, and on 1,000,000 slots with 5,000,000 events.

The large system is filled by the product's own functions (`seed`) and audited before anything is measured. Both sell one hot slot, and both sell
slots drawn at random from all they have.
"""

from loadtest.bench.arm import HttpArm, take_turns, warm_up
from loadtest.bench.figures import Measured, Wanted
from loadtest.bench.plan import Bench
from loadtest.bench.product import Product, in_production
from loadtest.bench.seed import audit, seed, slot_ids
from loadtest.workloads.many_bookings import one_unit_each

CLAIM = "Rate and latency do not depend on how many slots and events there are"
ABOUT_S = 600
FEW_SLOTS = 1000
SMALL, LARGE = "small", "large"
WITHIN = 0.2
WANTED = [
    promise
    for what in ("hot slot", "all slots")
    for promise in (
        Wanted(
            says=f"{what}, rate: large against small",
            arm=f"{what}, {LARGE}",
            against=f"{what}, {SMALL}",
            at_least=1 - WITHIN,
        ),
        Wanted(
            says=f"{what}, p50: large against small",
            arm=f"{what}, {LARGE}",
            against=f"{what}, {SMALL}",
            figure="p50_ms",
            at_most=1 + WITHIN,
        ),
    )
]


async def measure(bench: Bench) -> Measured:
    """Seeds, audits, and lets both sell.

    Raises:
        CannotRunError: a system could not be started or filled, or its books do not agree.
    """
    plan = bench.plan
    async with in_production(bench) as small, in_production(bench) as large:
        before = await seed(large, slots=plan.flat_slots, events=plan.flat_events, say=bench.say)
        bench.say("auditing what was seeded")
        await audit(large)
        few = await small.open_slots(FEW_SLOTS)
        many = await slot_ids(large)
        arms = [
            arm
            for what, chosen in (("hot slot", 1), ("all slots", None))
            for arm in (
                _sale(large, f"{what}, {LARGE}", many[:chosen], plan.connections),
                _sale(small, f"{what}, {SMALL}", few[:chosen], plan.connections),
            )
        ]
        await warm_up(arms, seconds=plan.warm_up_s)
        turns = await take_turns(arms, rounds=plan.rounds, seconds=plan.turn_s, say=bench.say)
        return Measured(
            name="flatness",
            claim=CLAIM,
            wanted=WANTED,
            turns=turns,
            broken=[*await small.broken(), *await large.broken(before=before)],
            notes=[
                f"Large: {len(many):,} slots and {before + len(many):,} events, written by the product's own functions and audited.",
                f"Small: {FEW_SLOTS:,} slots and a log that began with them.",
            ],
        )


def _sale(product: Product, name: str, slots: list[str], connections: int) -> HttpArm:
    requests = one_unit_each(product.url, "/v1/bookings", slots, product.headers)
    return product.sale(name, requests, connections=connections)
