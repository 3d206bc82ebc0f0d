"""The bake-off: every guard sells through the same HTTP, with the same bookkeeping around it, so that arms differ in the guard alone.

Says what a guard costs, not what it lets through (`unguarded`, `trust_the_view` and the one under repeatable read oversell, which nobody does
here: there are more units than buyers, so the books of all must agree). Each starts with a slot nobody has booked and counts what it has sold
since, so those that count get slower the longer they sell.
"""

import contextlib

from loadtest.bench.arm import Arm, take_turns, warm_up
from loadtest.bench.figures import Measured, Wanted
from loadtest.bench.plan import Bench
from loadtest.bench.product import Product, in_the_laboratory
from loadtest.driver import Client
from loadtest.system.inventory import at_rest
from loadtest.system.ten_guards import GUARDS, PRODUCTS, VIEWING
from loadtest.workloads.many_bookings import one_unit_each

CLAIM = "What each way to guard the last place costs"
ABOUT_S = 150
CONFLICTING = {"expected_version", "serializable", "lock_then_count_repeatable_read"}
"""They run a lost transaction again and give up when that goes on: on a hot slot some requests are answered 503."""
PER_UNIT = "row_per_unit"
UNITS_MAX = 50_000
"""It makes a row for every unit when a slot is opened, within the time a command has."""


async def measure(bench: Bench) -> Measured:
    """All guards at once, each on a system of its own, taking turns; once for every number of slots asked for.

    Raises:
        CannotRunError: a system could not be started.
    """
    turns, broken, wanted = [], [], []
    for slots in bench.plan.slots:
        async with contextlib.AsyncExitStack() as stack:
            systems: dict[str, Product] = {}
            arms: list[Arm] = []
            for guard in GUARDS:
                bench.say(f"starting {guard}")
                system = await stack.enter_async_context(
                    in_the_laboratory(
                        bench,
                        parts=None if guard == VIEWING else "api",
                        settings={"BOOKING_GUARD": guard},
                    )
                )
                systems[guard] = system
                ids = await open_slots_for(guard, system, slots)
                if guard == VIEWING:
                    async with Client(system.url, timeout_s=15) as client:
                        await at_rest(client, ids[-1])
                arms.append(
                    system.sale(
                        _named(guard, slots),
                        one_unit_each(system.url, "/v1/bookings", ids),
                        connections=bench.plan.connections,
                    )
                )
            await warm_up(arms, seconds=bench.plan.warm_up_s / 2)
            turns += await take_turns(
                arms, rounds=bench.plan.rounds, seconds=bench.plan.turn_s, say=bench.say
            )
            for guard, system in systems.items():
                broken += [f"{guard}: {sentence}" for sentence in await system.broken()]
        wanted += [
            Wanted(
                says=f"the product's guard against {guard}, {_of(slots)}",
                arm=_named(PRODUCTS, slots),
                against=_named(guard, slots),
            )
            for guard in GUARDS[1:]
        ]
    return Measured(
        name="guards_compared",
        claim=CLAIM,
        wanted=wanted,
        turns=turns,
        broken=broken,
        straying=[_named(guard, slots) for guard in CONFLICTING for slots in bench.plan.slots],
    )


async def open_slots_for(guard: str, system: Product, slots: int) -> list[str]:
    """Opens slots with as many units as there can be, or as rows can be made for; returns their ids.

    Raises:
        CannotRunError: the API refused.
    """
    if guard == PER_UNIT:
        return await system.open_slots(slots, capacity=max(20, UNITS_MAX // slots), overbooking=0)
    return await system.open_slots(slots)


def _named(guard: str, slots: int) -> str:
    return f"{guard}, {_of(slots)}"


def _of(slots: int) -> str:
    return "1 slot" if slots == 1 else f"{slots:,} slots"
