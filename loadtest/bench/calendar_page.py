"""The claim that a read model pays: one page of a calendar, 100 slots with what is left of each, against asking the tables that decide.

Both systems were sold the same: some 20,000 bookings over the slots of the page. The product answers from a node's memory; the other arm
(PROJECTOR_GUARD=write_tables) has no read model and asks the tables of the write side. Both must show what was sold.
"""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from loadtest.bench.arm import HttpArm, same, take_turns, warm_up
from loadtest.bench.figures import Measured, Wanted
from loadtest.bench.plan import Bench
from loadtest.bench.product import Product, in_production, in_the_laboratory
from loadtest.driver import Client
from loadtest.system.inventory import at_rest
from loadtest.workloads.many_bookings import one_unit_each

CLAIM = "A calendar page of 100 slots comes from the read model several times as fast as from the write tables"
ABOUT_S = 70
SLOTS, PAGE = 1000, 100
PRODUCT, CRUD = "read model", "write tables"
WANTED = [
    Wanted(
        says="calendar page from the read model against the write tables",
        arm=PRODUCT,
        against=CRUD,
        at_least=5,
    )
]
CONNECTIONS = 32
BOOKINGS = 20_000
"""Beforehand: 200 of each slot, an ordinary evening."""
PIECE_S = 0.2
RESOURCE = "7d2f0c7e-4c52-4b5e-9f0e-3a6c1d9b0001"
PATH = f"/v1/availability?resource_id={RESOURCE}&from=2100-01-01T00:00:00Z&limit={PAGE}"


class _Slot(Struct):
    confirmed: int


class _Page(Struct):
    slots: list[_Slot]


_decode = msgspec.json.Decoder(_Page).decode


async def measure(bench: Bench) -> Measured:
    """Two whole systems with the same slots, booked beforehand.

    Raises:
        CannotRunError: a system could not be started.
    """
    plan = bench.plan
    async with (
        in_production(bench, parts=None) as product,
        in_the_laboratory(bench, parts=None, settings={"PROJECTOR_GUARD": "write_tables"}) as crud,
    ):
        systems = {PRODUCT: product, CRUD: crud}
        arms, sold = [], {}
        for name, system in systems.items():
            slots = await system.open_slots(SLOTS, resource_id=RESOURCE)
            sold[name] = await _sell(system, slots[:PAGE], connections=plan.connections)
            bench.say(f"{name}: {sold[name]} bookings on {PAGE} slots")
            arms.append(_page(name, system, connections=CONNECTIONS))
        await warm_up(arms, seconds=plan.warm_up_s)
        turns = await take_turns(arms, rounds=plan.rounds, seconds=plan.turn_s, say=bench.say)
        wrong = [
            f"{name}: {sentence}"
            for name, system in systems.items()
            for sentence in wrong_page(await _shown(system), sold=sold[name])
        ]
        return Measured(
            name="calendar_page",
            claim=CLAIM,
            wanted=WANTED,
            turns=turns,
            broken=[*await product.broken(), *await crud.broken(), *wrong],
        )


async def _sell(system: Product, slots: Sequence[str], *, connections: int) -> int:
    """Sells about BOOKINGS single units of the slots, and returns how many, once the readers know."""
    requests = one_unit_each(system.url, "/v1/bookings", slots, system.headers)
    sale = system.sale("beforehand", requests, connections=connections)
    while sale.answered < BOOKINGS:
        await sale.turn(PIECE_S)
    async with Client(system.url, headers=system.headers, timeout_s=15) as client:
        await at_rest(client, slots[0])
    return sale.answered


async def _shown(system: Product) -> bytes:
    """The page that was measured, as it is answered now."""
    async with Client(system.url, headers=system.headers, timeout_s=15) as client:
        return (await client.request("GET", PATH)).body


def wrong_page(body: bytes, *, sold: int) -> list[str]:
    """Why a page does not show PAGE slots with the units sold: a sentence, none when it does.

    Raises:
        msgspec.DecodeError: it is no page.
    """
    confirmed = [slot.confirmed for slot in _decode(body).slots]
    if (len(confirmed), sum(confirmed)) == (PAGE, sold):
        return []
    return [
        f"The page shows {len(confirmed)} slots with {sum(confirmed)} units sold, of {PAGE} with {sold}."
    ]


def _page(name: str, system: Product, *, connections: int) -> HttpArm:
    return HttpArm(
        name,
        system.url,
        requests=lambda: same(system.url, PATH, system.headers),
        wanted=200,
        read_cpu=system.read_cpu,
        connections=connections,
    )
