"""The claim that a read from memory costs hardly more than no read at all: GET of a slot against a plain route that answers the same size."""

from loadtest.bench.arm import HttpArm, same, take_turns, warm_up
from loadtest.bench.figures import Measured, Wanted
from loadtest.bench.plain import plain_litestar
from loadtest.bench.plan import Bench
from loadtest.bench.product import in_production
from loadtest.driver import Client
from loadtest.system.inventory import at_rest

CLAIM = "GET of a slot is answered from memory, with its age, about as fast as a plain route"
ABOUT_S = 45
SLOT, PLAIN = "GET of a slot", "plain GET"
WANTED = [
    Wanted(
        says="GET of a slot against a plain Litestar GET", arm=SLOT, against=PLAIN, at_least=0.85
    )
]


async def measure(bench: Bench) -> Measured:
    """The whole system, whose slot nobody books meanwhile, and the plain application.

    Raises:
        CannotRunError: a system could not be started.
    """
    plan = bench.plan
    async with in_production(bench, parts=None) as product, plain_litestar() as plain:
        [slot_id] = await product.open_slots(1)
        async with Client(product.url, headers=product.headers, timeout_s=15) as client:
            await at_rest(client, slot_id)  # so that the readers know it
        arms = [
            HttpArm(
                SLOT,
                product.url,
                requests=lambda: same(product.url, f"/v1/slots/{slot_id}", product.headers),
                wanted=200,
                read_cpu=product.read_cpu,
                connections=plan.connections,
            ),
            plain.get(connections=plan.connections),
        ]
        await warm_up(arms, seconds=plan.warm_up_s)
        turns = await take_turns(arms, rounds=plan.rounds, seconds=plan.turn_s, say=bench.say)
        return Measured(
            name="slot_read",
            claim=CLAIM,
            wanted=WANTED,
            turns=turns,
            broken=await product.broken(),
        )
