"""The claim that batching pays: one slot that everybody wants, through HTTP, against everything it may be compared with.

Against pgbench (one transaction per booking, no HTTP), against the same condition without batches through the same HTTP, and against a route of
the same framework that decides nothing.
"""

from loadtest.bench.arm import choose_clients, take_turns, warm_up
from loadtest.bench.figures import Measured, Wanted
from loadtest.bench.pgbench import yardstick_beside
from loadtest.bench.plain import plain_litestar
from loadtest.bench.plan import Bench
from loadtest.bench.product import in_production, in_the_laboratory
from loadtest.workloads.many_bookings import one_unit_each

CLAIM = "One hot slot through HTTP sells faster than one transaction per booking ever can"
ABOUT_S = 175
EACH_ITS_OWN = "Each arm has, of the numbers of clients it was tried with, the one with which it did most in the median."
PRODUCT, YARDSTICK, UNBATCHED, PLAIN = "product", "pgbench", "unbatched", "plain POST"
WANTED = [
    Wanted(says="hot slot against pgbench's hot row", arm=PRODUCT, against=YARDSTICK, at_least=3),
    Wanted(
        says="against the unbatched conditional write", arm=PRODUCT, against=UNBATCHED, at_least=4
    ),
    Wanted(says="against a plain Litestar POST", arm=PRODUCT, against=PLAIN, at_least=0.75),
]


async def measure(bench: Bench) -> Measured:
    """Four arms on three systems, taking turns.

    Raises:
        CannotRunError: a system or a program could not be started.
    """
    plan = bench.plan
    async with (
        in_production(bench) as product,
        in_the_laboratory(
            bench, settings={"BOOKING_GUARD": "conditional_write_singly"}
        ) as unbatched,
        plain_litestar() as plain,
    ):
        arms = [
            product.sale(
                PRODUCT,
                one_unit_each(
                    product.url, "/v1/bookings", await product.open_slots(1), product.headers
                ),
                connections=plan.connections,
            ),
            unbatched.sale(
                UNBATCHED,
                one_unit_each(unbatched.url, "/v1/bookings", await unbatched.open_slots(1)),
                connections=plan.connections,
            ),
            plain.post(connections=plan.connections),
        ]
        yardstick = await yardstick_beside(product, bench)
        await warm_up(arms, seconds=plan.warm_up_s)
        for arm in arms:
            await choose_clients(
                arm,
                plan.clients,
                trials=plan.trials,
                seconds=plan.calibration_s,
                say=bench.say,
            )
        turns = await take_turns(
            [arms[0], yardstick, *arms[1:]],
            rounds=plan.rounds,
            seconds=plan.turn_s,
            say=bench.say,
        )
        return Measured(
            name="hot_slot",
            claim=CLAIM,
            wanted=WANTED,
            turns=turns,
            broken=[
                *await product.broken(),
                *await unbatched.broken(),
                *await yardstick.broken(),
            ],
            notes=[EACH_ITS_OWN],
        )
