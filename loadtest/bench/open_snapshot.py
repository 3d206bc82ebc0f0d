"""The claim that a backup or a report does not slow the sale: the hot slot, while a transaction of somebody else keeps an old snapshot open.

A snapshot keeps Postgres from tidying up row versions that were written since. Whoever writes a version per booking makes every next booking
walk along all of them; the product writes the slot once per batch.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from msgspec import structs

from loadtest.bench.arm import take_turns, warm_up
from loadtest.bench.figures import Measured, Wanted
from loadtest.bench.plan import Bench
from loadtest.bench.product import Product, in_production
from loadtest.failures import CannotRunError
from loadtest.instruments.postgres_programs import PATIENCE_S, PLAIN
from loadtest.workloads.many_bookings import one_unit_each

CLAIM = "A snapshot that somebody holds open does not slow the hot slot"
ABOUT_S = 110
WITHOUT, WITH, LAST = "no snapshot", "snapshot open", "snapshot open, last turn"
WANTED = [
    Wanted(
        says="hot slot with a snapshot open against without",
        arm=WITH,
        against=WITHOUT,
        at_least=0.8,
    ),
    Wanted(says="the same in its last turn", arm=LAST, against=WITHOUT),
]
TURNS = 6
"""The sale beside the snapshot is looked at in pieces, to see whether it gets slower."""

TAKE = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT confirmed FROM booking.slot LIMIT 1;\n"


async def measure(bench: Bench) -> Measured:
    """A while without, `sustained_s` with the snapshot open, a while without.

    Raises:
        CannotRunError: the system could not be started.
    """
    plan = bench.plan
    piece_s = plan.sustained_s / TURNS
    async with in_production(bench) as product:
        requests = one_unit_each(
            product.url, "/v1/bookings", await product.open_slots(1), product.headers
        )
        without, beside = (
            product.sale(name, requests, connections=plan.connections) for name in (WITHOUT, WITH)
        )
        await warm_up([without], seconds=plan.warm_up_s)
        turns = await take_turns([without], rounds=2, seconds=piece_s, say=bench.say)
        async with _snapshot(product):
            kept = await take_turns([beside], rounds=TURNS, seconds=piece_s, say=bench.say)
        turns += await take_turns([without], rounds=2, seconds=piece_s, say=bench.say)
        return Measured(
            name="open_snapshot",
            claim=CLAIM,
            wanted=WANTED,
            turns=[*turns, *kept, structs.replace(kept[-1], arm=LAST)],
            broken=await product.broken(),
            notes=[
                f"The snapshot was open for {sum(turn.seconds for turn in kept):.0f} s of selling."
            ],
        )


@contextlib.asynccontextmanager
async def _snapshot(product: Product) -> AsyncIterator[None]:
    """A psql that has begun to read, and does not end."""
    child = await asyncio.create_subprocess_exec(
        str(product.programs / "psql"),
        *PLAIN,
        product.database_url,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert child.stdin is not None  # noqa: S101 -- pipes were asked for; narrows the types
    assert child.stdout is not None  # noqa: S101 -- likewise
    try:
        child.stdin.write(TAKE.encode())
        await child.stdin.drain()
        async with asyncio.timeout(PATIENCE_S):
            if not await child.stdout.readline():
                raise CannotRunError("psql could not take a snapshot.")
        yield
        if child.returncode is not None:
            raise CannotRunError("psql ended before the sale did, and its snapshot with it.")
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()
