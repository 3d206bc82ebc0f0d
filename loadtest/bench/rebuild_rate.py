"""The claim that the read model can be thrown away: `projector rebuild` folds the whole log again while readers read.

The log is seeded by the product's own functions. While the rebuild runs, a reader asks again and again: what it is shown must never be older than
what it was shown before.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import msgspec
from msgspec import Struct

from loadtest.bench.figures import Measured, Turn, Wanted
from loadtest.bench.plan import Bench
from loadtest.bench.product import Product, command, in_production
from loadtest.bench.seed import STANDS, seed, slot_ids
from loadtest.driver import Client
from loadtest.instruments.cpu_used import per_answer_us
from loadtest.system.inventory import at_rest

CLAIM = "The read model is rebuilt from the log at 30,000 events a second, while readers read"
ABOUT_S = 90
REBUILD = "rebuild"
SLOTS = 10_000
WANTED = [Wanted(says="rebuild, events per second", arm=REBUILD, at_least=30_000)]
PATIENCE_S = 1800.0
LOOK_EVERY_S = 0.01


class _Standing(Struct):
    position: int


class _Told(Struct):
    events_per_s: float


_decode_told = msgspec.json.Decoder(_Told).decode
_decode = msgspec.json.Decoder(_Standing).decode


async def measure(bench: Bench) -> Measured:
    """Seeds, waits until the read model has it, rebuilds.

    Raises:
        CannotRunError: the system could not be started or filled, or the rebuild failed.
    """
    async with in_production(bench, parts=None) as product:
        await seed(product, slots=SLOTS, events=bench.plan.rebuild_events, say=bench.say)
        [slot_id, *_] = await slot_ids(product)
        bench.say("waiting until the read model has it")
        await _arrived(product, slot_id)
        events = int((await product.ask(STANDS))[0])
        turns, broken = [], []
        for number in range(max(1, bench.plan.rounds // 2)):
            async with _reader(product, slot_id) as positions:
                before, began_s = product.read_cpu(), time.perf_counter()
                told = await command(
                    "rebuild",
                    "--json",
                    data_dir=product.data_dir,
                    module="projector.cli",
                    patience_s=PATIENCE_S,
                )
                seconds = time.perf_counter() - began_s
                cpu = per_answer_us(before, product.read_cpu(), events)
            if positions != sorted(positions):
                broken.append("A reader was shown an older position than before.")
            turns.append(
                Turn(
                    arm=REBUILD,
                    seconds=seconds,
                    answered=events,
                    astray=0,
                    per_second=events / seconds,
                    clients=1,
                    cpu_us=cpu,
                    more={
                        "told_per_second": _decode_told(told).events_per_s,
                        "reads_meanwhile": float(len(positions)),
                    },
                )
            )
            bench.say(f"rebuild {number + 1}: {events / seconds:.0f} events/s")
        return Measured(
            name="rebuild_rate",
            claim=CLAIM,
            wanted=WANTED,
            turns=turns,
            broken=broken,
            notes=[
                f"{events:,} events; the rate is that of the whole command, its start included."
            ],
        )


async def _arrived(product: Product, slot_id: str) -> None:
    """Returns when the readers know the whole log; the projector folds it as fast as it can."""
    async with Client(product.url, headers=product.headers, timeout_s=15) as client:
        deadline_s = time.monotonic() + PATIENCE_S
        head = int((await product.ask(STANDS))[0])
        while time.monotonic() < deadline_s:
            answer = await client.request("GET", f"/v1/slots/{slot_id}")
            if answer.status in (200, 404) and _decode(answer.body).position >= head:
                break
            await asyncio.sleep(0.2)
        await at_rest(client, slot_id)


@contextlib.asynccontextmanager
async def _reader(product: Product, slot_id: str) -> AsyncIterator[list[int]]:
    """Somebody who reads all the time; yields the positions shown."""
    positions: list[int] = []

    async def read() -> None:
        async with Client(product.url, connections_max=1, headers=product.headers) as client:
            while True:
                answer = await client.request("GET", f"/v1/slots/{slot_id}")
                if answer.status == 200:
                    positions.append(_decode(answer.body).position)
                await asyncio.sleep(LOOK_EVERY_S)

    reading = asyncio.create_task(read(), name="reader")
    try:
        yield positions
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
