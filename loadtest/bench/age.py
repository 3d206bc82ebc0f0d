"""How old what readers are shown is, while something else goes on: one reader that asks again and again."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from math import inf

from loadtest.bench.product import Product
from loadtest.driver import Client
from loadtest.system.inventory import timing_ms

LOOK_EVERY_S = 0.02


@contextlib.asynccontextmanager
async def watched_age(product: Product, slot_id: str) -> AsyncIterator[list[float]]:
    """Yields a list that grows by one age in milliseconds per look, as the answers say it; a look without one counts as endless."""
    ages_ms: list[float] = []

    async def look() -> None:
        async with Client(product.url, connections_max=1, headers=product.headers) as client:
            while True:
                answer = await client.request("GET", f"/v1/slots/{slot_id}")
                told = timing_ms(answer.header(b"server-timing") or b"", b"lag")
                ages_ms.append(inf if told is None else told)
                await asyncio.sleep(LOOK_EVERY_S)

    looking = asyncio.create_task(look(), name="age")
    try:
        yield ages_ms
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
