"""A night at a system that is being hurt: people book and look all the time, and readers read the tables again and again.

Of two who look, one asks for an answer of at most a second and does not wait for it, the other takes what there is and is told how old it is.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import msgspec
from msgspec import Struct

from loadtest.driver import Client, Offered, open_loop, poisson
from loadtest.driver.open_loop import Visit
from loadtest.evidence.pages_read import Page
from loadtest.experiment.laboratory import Laboratory, Recorder
from loadtest.system.inventory import Opened
from loadtest.workloads.person import Person

BOOKERS_FROM = 1_000_000
READERS_FROM = 2_000_000
NIGHT_MAX_S = 120.0
HUSH_S = 0.25
"""So long that what was booked before has been projected."""


class Crowd(Struct, frozen=True, kw_only=True):
    """How many of each come."""

    looks_per_s: float = 60
    bookings_per_s: float = 200
    readers: int = 3
    read_every_ms: int = 10


class _Totals(Struct):
    remaining: int


class _Overview(Struct):
    availability: _Totals
    position: int


class Night:
    """Who is there: people who book, people who look (at most a second old, or as it is), and readers of the tables."""

    def __init__(
        self,
        client: Client,
        record: Recorder,
        lab: Laboratory,
        opened: Opened,
        crowd: Crowd,
    ) -> None:
        self._client, self._record, self._lab, self._crowd = client, record, lab, crowd
        self._resource_id, self._slot_id = opened.resource_id, opened.slot_ids[0]
        self._pages: list[Page] = []
        self._over = self._hushed = False

    @contextlib.asynccontextmanager
    async def people(self) -> AsyncIterator[None]:
        """They come until the block ends."""
        crowd, rng = self._crowd, self._lab.rng("people")
        async with asyncio.TaskGroup() as together:
            looking = together.create_task(
                self._keep_coming(poisson(crowd.looks_per_s, rng), self._look)
            )
            booking = poisson(crowd.bookings_per_s, self._lab.rng("bookers"))
            together.create_task(self._keep_coming(booking, self._book))
            for number in range(crowd.readers):
                together.create_task(self._read(READERS_FROM + number))
            try:
                yield
            finally:
                self._over = True
        self._record.offered(looking.result())
        self._record.note(pages=msgspec.to_builtins(self._pages))

    @contextlib.asynccontextmanager
    async def hush(self) -> AsyncIterator[None]:
        """For a moment, and as long as the block takes, nobody books."""
        self._hushed = True
        try:
            await asyncio.sleep(HUSH_S)
            yield
        finally:
            self._hushed = False

    async def _keep_coming(self, arrivals_s: Iterator[float], visit: Visit) -> Offered:
        return await open_loop(arrivals_s, visit, seconds=NIGHT_MAX_S, until=lambda: self._over)

    def _person(self, number: int) -> Person:
        # One system has several slots, and a key is good for one of them.
        rng = self._lab.rng("person", self._slot_id, number)
        return Person(self._client, self._record, number, rng)

    async def _look(self, number: int, intended_ns: int) -> None:
        person, bounded = self._person(number), number % 2 == 1
        await person.look(
            self._slot_id,
            max_age_s=1 if bounded else None,
            wait_s=0 if bounded else None,
            intended_ns=intended_ns,
        )

    async def _book(self, number: int, intended_ns: int) -> None:
        if self._hushed:
            return
        await self._person(BOOKERS_FROM + number).book(self._slot_id, intended_ns=intended_ns)

    async def _read(self, number: int) -> None:
        """Reads again and again what stands in the tables."""
        reader = self._person(number)
        while not self._over:
            await reader.do("overview", "GET", f"/v1/resources/{self._resource_id}/overview")
            if reader.last is not None and reader.last.outcome == "ok":
                seen = msgspec.json.decode(reader.last.body, type=_Overview)
                self._pages.append(
                    Page(
                        reader=number,
                        position=seen.position,
                        remaining=seen.availability.remaining,
                    )
                )
            await asyncio.sleep(self._crowd.read_every_ms / 1000)
