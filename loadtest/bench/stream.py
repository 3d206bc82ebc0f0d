"""When a reader saw what: a client of the live stream that notes each position with the moment it arrived.

Everything up to a position is visible through the query API when the stream says it, because stream and reads live off the same feed.
"""

import asyncio
import contextlib
import time
from bisect import bisect_left
from collections.abc import AsyncIterator

import msgspec
from msgspec import Struct

from loadtest.driver.event_stream import events
from loadtest.failures import CannotRunError
from loadtest.workloads.meanwhile import meanwhile

OPEN_DEADLINE_S = 10.0


class _Standing(Struct):
    position: int


_decode = msgspec.json.Decoder(_Standing).decode


class Seen:
    """The positions of one stream, ascending, and the wall-clock second each arrived: of one machine, so it compares with the database's."""

    def __init__(self) -> None:
        self.positions: list[int] = []
        self.moments_s: list[float] = []
        self._moved = asyncio.Event()
        self._why_ended: Exception | None = None

    def moment_s(self, position: int) -> float | None:
        """When it was visible; None while it is not."""
        place = bisect_left(self.positions, position)
        return self.moments_s[place] if place < len(self.moments_s) else None

    async def reached(self, position: int) -> None:
        """Returns when it is visible.

        Raises:
            CannotRunError: the stream ended before.
        """
        while not self.positions or self.positions[-1] < position:
            if self._why_ended:
                raise self._why_ended
            self._moved.clear()
            await self._moved.wait()

    def note(self, position: int) -> None:
        """It is visible from now on."""
        if not self.positions or position > self.positions[-1]:
            self.positions.append(position)
            self.moments_s.append(time.time())
            self._moved.set()

    def end(self, why: Exception) -> None:
        """Nothing will be noted any more: who waits is told why."""
        self._why_ended = why
        self._moved.set()


@contextlib.asynccontextmanager
async def following(url: str, slot_id: str, headers: list[tuple[str, str]]) -> AsyncIterator[Seen]:
    """Follows one slot; yields when the first snapshot has arrived.

    Raises:
        CannotRunError: there was none, or the stream ended before the block did.
    """
    seen = Seen()

    async def follow() -> None:
        path = f"/v1/availability/stream?slot_id={slot_id}"
        async for event in events(url, path, headers=headers):
            if event.event != "bye":
                seen.note(_decode(event.data).position)
        raise CannotRunError("The live stream ended before the sale did.")

    async def follow_to_the_end() -> None:
        try:
            await follow()
        except Exception as why:
            seen.end(why)
            raise

    async with meanwhile(follow_to_the_end()):
        try:
            async with asyncio.timeout(OPEN_DEADLINE_S):
                await seen.reached(0)
        except TimeoutError:
            raise CannotRunError("The live stream did not begin.") from None
        yield seen
