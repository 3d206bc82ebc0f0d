"""How old what readers are shown is, while something else goes on: one reader that asks again and again."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from math import inf

from loadtest.bench.product import Product
from loadtest.driver import Client
from loadtest.system.inventory import timing_ms
from loadtest.workloads.meanwhile import meanwhile

LOOK_EVERY_S = 0.02
LOOKS_PER_S_MIN = 10
"""A look waits for its answer, and on busy cores for its turn; with fewer, an old answer may lie between two."""


@contextlib.asynccontextmanager
async def watched_age(product: Product, slot_id: str) -> AsyncIterator[list[float]]:
    """Yields a list that grows by one age in milliseconds per look, as the answers say it; a look without one counts as endless.

    What keeps the reader from looking is raised when the block ends.
    """
    ages_ms: list[float] = []

    async def look() -> None:
        async with Client(product.url, connections_max=1, headers=product.headers) as client:
            while True:
                answer = await client.request("GET", f"/v1/slots/{slot_id}")
                told = timing_ms(answer.header(b"server-timing") or b"", b"lag")
                ages_ms.append(inf if told is None else told)
                await asyncio.sleep(LOOK_EVERY_S)

    async with meanwhile(look()):
        yield ages_ms


def too_few_looks(ages_ms: Sequence[float], *, seconds: float) -> list[str]:
    """Why ages that were looked at for so long are not to be believed: a sentence, none when they are."""
    if len(ages_ms) >= seconds * LOOKS_PER_S_MIN:
        return []
    return [f"In {seconds:.1f} s somebody looked {len(ages_ms)} times only, so ages say little."]
