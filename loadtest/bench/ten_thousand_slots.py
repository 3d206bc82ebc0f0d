"""The claim that nothing depends on the slot being one: bookings spread over 10,000 slots, beside the hot slot of the same system."""

from loadtest.bench.arm import take_turns, warm_up
from loadtest.bench.figures import Measured, Wanted
from loadtest.bench.pgbench import MANY_ROWS, yardstick_beside
from loadtest.bench.plan import Bench
from loadtest.bench.product import in_production
from loadtest.workloads.many_bookings import one_unit_each

CLAIM = "Bookings spread over 10,000 slots sell about as fast as those of one hot slot"
ABOUT_S = 90
SLOTS = 10_000
MANY, HOT, YARDSTICK = "10,000 slots", "hot slot", "pgbench, 10,000 rows"
WANTED = [
    Wanted(says="10,000 slots against the hot slot", arm=MANY, against=HOT, at_least=0.8),
    Wanted(says="10,000 slots against pgbench on 10,000 rows", arm=MANY, against=YARDSTICK),
]


async def measure(bench: Bench) -> Measured:
    """The same system sells both ways; pgbench beside it sells 10,000 rows.

    Raises:
        CannotRunError: a system or a program could not be started.
    """
    plan = bench.plan
    async with in_production(bench) as product:
        slots = await product.open_slots(SLOTS)
        arms = [
            product.sale(
                name,
                one_unit_each(product.url, "/v1/bookings", chosen, product.headers),
                connections=plan.connections,
            )
            for name, chosen in ((MANY, slots), (HOT, slots[:1]))
        ]
        yardstick = await yardstick_beside(product, bench, script=MANY_ROWS)
        await warm_up(arms, seconds=plan.warm_up_s)
        turns = await take_turns(
            [*arms, yardstick], rounds=plan.rounds, seconds=plan.turn_s, say=bench.say
        )
        return Measured(
            name="ten_thousand_slots",
            claim=CLAIM,
            wanted=WANTED,
            turns=turns,
            broken=[*await product.broken(), *await yardstick.broken()],
            notes=[f"pgbench sold best with {yardstick.clients} clients."],
        )
