"""The claim that bookings of several slots pay for their lines only: stays of seven nights that overlap in every way.

Each takes a night drawn at random and the six after it. Stays that overlap want the same slots in some order; a deadlock would show as a fault
or as a re-run, so the count of answers astray is part of the claim.
"""

from loadtest.bench.arm import take_turns, warm_up
from loadtest.bench.figures import Measured, Wanted
from loadtest.bench.plan import Bench
from loadtest.bench.product import in_production
from loadtest.workloads.many_bookings import one_unit_each, stays

CLAIM = "Stays of seven nights sell without a deadlock, at 0.4 of the hot slot's rate per booking"
ABOUT_S = 45
NIGHTS, LENGTH = 365, 7
STAYS, HOT = "7-night stays", "hot slot"
WANTED = [Wanted(says="7-night stays against the hot slot", arm=STAYS, against=HOT, at_least=0.4)]

DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
UNITS = """
SELECT (SELECT sum(confirmed) FROM booking.slot), (SELECT count(*) FROM booking.booking_line)
"""


async def measure(bench: Bench) -> Measured:
    """The same system sells stays in one resource's year, and single units of another's slot.

    Raises:
        CannotRunError: the system could not be started.
    """
    plan = bench.plan
    async with in_production(bench) as product:
        year = await product.open_slots(NIGHTS)
        single = await product.open_slots(1)
        arms = [
            product.sale(
                STAYS,
                stays(product.url, "/v1/bookings", year, length=LENGTH, headers=product.headers),
                connections=plan.connections,
            ),
            product.sale(
                HOT,
                one_unit_each(product.url, "/v1/bookings", single, product.headers),
                connections=plan.connections,
            ),
        ]
        await warm_up(arms, seconds=plan.warm_up_s)
        turns = await take_turns(arms, rounds=plan.rounds, seconds=plan.turn_s, say=bench.say)
        [deadlocks] = await product.ask(DEADLOCKS)
        broken = await product.broken(lines=0)
        units, lines = map(int, await product.ask(UNITS))
        if units != lines or lines != LENGTH * arms[0].answered + arms[1].answered:
            broken.append(f"{lines} lines were written and {units} units taken.")
        if deadlocks != "0":
            broken.append(f"Postgres counts {deadlocks} deadlocks.")
        return Measured(
            name="stays",
            claim=CLAIM,
            wanted=WANTED,
            turns=turns,
            broken=broken,
            notes=[f"Deadlocks counted by Postgres: {deadlocks}."],
        )
