"""The claim that batching costs no latency where there is nothing to batch: one client that books, waits for its answer, and books again."""

from loadtest.bench.arm import take_turns, warm_up
from loadtest.bench.figures import Measured, Wanted
from loadtest.bench.plan import Bench
from loadtest.bench.product import in_production, in_the_laboratory
from loadtest.workloads.many_bookings import one_unit_each

CLAIM = "A single client waits hardly longer for a batch of one than for a transaction of its own"
ABOUT_S = 45
PRODUCT, UNBATCHED = "product", "unbatched"
WANTED = [
    Wanted(
        says="one connection, p50 against the unbatched path",
        arm=PRODUCT,
        against=UNBATCHED,
        figure="p50_ms",
        at_most=1.3,
    )
]


async def measure(bench: Bench) -> Measured:
    """Two systems, one connection each.

    Raises:
        CannotRunError: a system could not be started.
    """
    plan = bench.plan
    async with (
        in_production(bench) as product,
        in_the_laboratory(
            bench, settings={"BOOKING_GUARD": "conditional_write_singly"}
        ) as unbatched,
    ):
        arms = [
            system.sale(
                name,
                one_unit_each(
                    system.url, "/v1/bookings", await system.open_slots(1), system.headers
                ),
                connections=1,
            )
            for name, system in ((PRODUCT, product), (UNBATCHED, unbatched))
        ]
        await warm_up(arms, seconds=plan.warm_up_s)
        turns = await take_turns(arms, rounds=plan.rounds, seconds=plan.turn_s, say=bench.say)
        return Measured(
            name="one_connection",
            claim=CLAIM,
            wanted=WANTED,
            turns=turns,
            broken=[*await product.broken(), *await unbatched.broken()],
        )
