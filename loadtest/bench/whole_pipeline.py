"""The claim that nothing piles up: the whole system sells one hot slot for a minute, from HTTP to the read model, and readers stay close behind.

The same two cores carry generator, API, queries, relay, projector, Postgres and NATS. Beside the sale a reader asks for the slot fifty times a
second and notes the age of what it is shown. Afterwards the books are counted, and the read model must have arrived at them.
"""

from msgspec import structs

from loadtest.bench.age import too_few_looks, watched_age
from loadtest.bench.arm import choose_clients, take_turns, warm_up
from loadtest.bench.figures import Measured, Wanted
from loadtest.bench.pgbench import yardstick_beside
from loadtest.bench.plan import Bench
from loadtest.bench.product import in_production
from loadtest.driver import Client
from loadtest.driver.percentile import percentile
from loadtest.system.inventory import at_rest
from loadtest.workloads.many_bookings import one_unit_each

CLAIM = "The whole pipeline sells a hot slot for a minute, and readers are never far behind"
ABOUT_S = 140
PIPELINE, YARDSTICK = "whole pipeline", "pgbench"
WANTED = [
    Wanted(
        says="whole pipeline against pgbench's hot row", arm=PIPELINE, against=YARDSTICK, at_least=2
    ),
    Wanted(
        says="age of what readers are shown, p99 ms", arm=PIPELINE, figure="age_p99_ms", at_most=150
    ),
    Wanted(says="age of what readers are shown, p50 ms", arm=PIPELINE, figure="age_p50_ms"),
]
PAUSE_TURNS = 3
"""The yardstick's turns before the sale, and again after it."""


async def measure(bench: Bench) -> Measured:
    """pgbench, one long sale, pgbench.

    Raises:
        CannotRunError: a system or a program could not be started.
    """
    plan = bench.plan
    async with in_production(bench, parts=None) as product:
        slots = await product.open_slots(1)
        sale = product.sale(
            PIPELINE,
            one_unit_each(product.url, "/v1/bookings", slots, product.headers),
            connections=plan.connections,
        )
        yardstick = await yardstick_beside(product, bench)
        await warm_up([sale], seconds=plan.warm_up_s)
        await choose_clients(
            sale,
            plan.pipeline_clients,
            trials=plan.trials,
            seconds=plan.calibration_s,
            say=bench.say,
        )
        turns = await take_turns(
            [yardstick], rounds=PAUSE_TURNS, seconds=plan.turn_s, say=bench.say
        )
        bench.say(f"{PIPELINE}: selling for {plan.sustained_s:.0f} s")
        async with watched_age(product, slots[0]) as ages_ms:
            sold = await sale.turn(plan.sustained_s)
        bench.say(f"{PIPELINE}: {sold.per_second:.0f}/s")
        ages = {
            "age_p50_ms": percentile(ages_ms, 50),
            "age_p99_ms": percentile(ages_ms, 99),
            "age_max_ms": max(ages_ms, default=0.0),
            "looks": float(len(ages_ms)),
        }
        turns.append(structs.replace(sold, more=ages))
        async with Client(product.url, headers=product.headers, timeout_s=15) as client:
            shown = await at_rest(client, slots[0])
        turns += await take_turns(
            [yardstick], rounds=PAUSE_TURNS, seconds=plan.turn_s, say=bench.say
        )
        broken = [*await product.broken(), *await yardstick.broken()]
        if shown.confirmed != sale.answered:
            broken.append(f"The read model shows {shown.confirmed} units sold of {sale.answered}.")
        return Measured(
            name="whole_pipeline",
            claim=CLAIM,
            wanted=WANTED,
            turns=turns,
            broken=[*broken, *too_few_looks(ages_ms, seconds=plan.sustained_s)],
            notes=[
                f"{sale.answered} bookings answered 201, all of them in slot, bookings, log and read model."
                if not broken
                else "The books do not agree.",
                f"pgbench sold best with {yardstick.clients} clients.",
            ],
        )
