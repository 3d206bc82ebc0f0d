"""The claim that the read model can be thrown away: `projector rebuild` folds the whole log again while readers read.

The log is seeded by the product's own functions. While the rebuild runs, a reader asks again and again: what it is shown must never be older than
what it was shown before. Afterwards psql counts what the tables hold that were rebuilt.
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
from loadtest.workloads.meanwhile import meanwhile

CLAIM = "The read model is rebuilt from the log at 30,000 events a second, while readers read"
ABOUT_S = 90
REBUILD = "rebuild"
SLOTS = 10_000
WANTED = [Wanted(says="rebuild, events per second", arm=REBUILD, at_least=30_000)]
PATIENCE_S = 1800.0
LOOK_EVERY_S = 0.01
REBUILT = """
SELECT (SELECT coalesce(sum(confirmed), 0) FROM read_model.slot),
       (SELECT count(*) FROM read_model.booking WHERE state = 'confirmed')
"""


class _Standing(Struct):
    position: int


class _Told(Struct):
    position: int
    events_per_s: float


class Reads(Struct):
    """What somebody was shown who read all the time."""

    positions: list[int] = []
    refused: int = 0
    """Answered otherwise than 200, or not at all."""


_decode_told = msgspec.json.Decoder(_Told).decode
_decode = msgspec.json.Decoder(_Standing).decode


async def measure(bench: Bench) -> Measured:
    """Seeds, waits until the read model has it, rebuilds.

    Raises:
        CannotRunError: the system could not be started or filled, or the rebuild failed.
    """
    async with in_production(bench, parts=None) as product:
        booked = await seed(product, slots=SLOTS, events=bench.plan.rebuild_events, say=bench.say)
        [slot_id, *_] = await slot_ids(product)
        bench.say("waiting until the read model has it")
        await _arrived(product, slot_id)
        events = int((await product.ask(STANDS))[0])
        turns, broken = [], []
        for number in range(max(1, bench.plan.rounds // 2)):
            async with _reader(product, slot_id) as reads:
                before, began_s = product.read_cpu(), time.perf_counter()
                said = await command(
                    "rebuild",
                    "--json",
                    data_dir=product.data_dir,
                    module="projector.cli",
                    patience_s=PATIENCE_S,
                )
                seconds = time.perf_counter() - began_s
                cpu = per_answer_us(before, product.read_cpu(), events)
            told = _decode_told(said)
            broken += unfit(reads, position=told.position, events=events)
            broken += await _not_rebuilt(product, booked)
            turns.append(
                Turn(
                    arm=REBUILD,
                    seconds=seconds,
                    answered=events,
                    astray=reads.refused,
                    per_second=events / seconds,
                    clients=1,
                    cpu_us=cpu,
                    more={
                        "told_per_second": told.events_per_s,
                        "reads_meanwhile": float(len(reads.positions)),
                    },
                )
            )
            bench.say(f"rebuild {number + 1}: {events / seconds:.0f} events/s")
        return Measured(
            name="rebuild_rate",
            claim=CLAIM,
            wanted=WANTED,
            turns=turns,
            broken=[*broken, *await product.broken(before=booked)],
            notes=[
                f"{events:,} events; the rate is that of the whole command, its start included."
            ],
        )


def unfit(reads: Reads, *, position: int, events: int) -> list[str]:
    """Why a rebuild that says it came to `position` of so many `events` is not to be believed: sentences, none when it is."""
    found = []
    if position < events:
        found.append(f"The rebuild ended at position {position} of {events}.")
    if not reads.positions:
        found.append("Nobody could read meanwhile.")
    if reads.positions != sorted(reads.positions):
        found.append("A reader was shown an older position than before.")
    return found


async def _not_rebuilt(product: Product, booked: int) -> list[str]:
    """A sentence where the tables that are read now do not hold what was booked, one unit each."""
    units, bookings = map(int, await product.ask(REBUILT))
    if units == bookings == booked:
        return []
    return [f"{booked} bookings were rebuilt as {bookings}, with {units} units."]


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
async def _reader(product: Product, slot_id: str) -> AsyncIterator[Reads]:
    """Somebody who reads all the time; what keeps him from it is raised when the block ends."""
    reads = Reads()

    async def read() -> None:
        async with Client(product.url, connections_max=1, headers=product.headers) as client:
            while True:
                answer = await client.request("GET", f"/v1/slots/{slot_id}")
                if answer.status == 200:
                    reads.positions.append(_decode(answer.body).position)
                else:
                    reads.refused += 1
                await asyncio.sleep(LOOK_EVERY_S)

    async with meanwhile(read()):
        yield reads
