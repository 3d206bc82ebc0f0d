"""When a reader saw what: a client of the live stream that notes each position with the moment it arrived.

Everything up to a position is visible through the query API when the stream says it, because stream and reads live off the same feed.
"""

import asyncio
import contextlib
import re
import time
from bisect import bisect_left
from collections.abc import AsyncIterator

import httptools

from loadtest.driver import RequestWriter
from loadtest.driver.connection import address
from loadtest.failures import CannotRunError

OPEN_DEADLINE_S = 10.0

_POSITION = re.compile(rb'^data: ?\{"position":(\d+)', re.MULTILINE)


class Seen(asyncio.Protocol):
    """The positions of one stream, ascending, and the wall-clock second each arrived: of one machine, so it compares with the database's."""

    def __init__(self) -> None:
        self.positions: list[int] = []
        self.moments_s: list[float] = []
        self.begun = asyncio.get_running_loop().create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._rest = b""
        self._moved = asyncio.Event()

    def moment_s(self, position: int) -> float | None:
        """When it was visible; None while it is not."""
        place = bisect_left(self.positions, position)
        return self.moments_s[place] if place < len(self.moments_s) else None

    async def reached(self, position: int) -> None:
        """Returns when it is visible."""
        while not self.positions or self.positions[-1] < position:
            self._moved.clear()
            await self._moved.wait()

    def data_received(self, data: bytes) -> None:
        """Feeds the parser."""
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """Notes the positions of the whole lines that have come."""
        now_s = time.time()
        whole, _, self._rest = (self._rest + body).rpartition(b"\n")
        for found in _POSITION.finditer(whole):
            position = int(found[1])
            if not self.positions or position > self.positions[-1]:
                self.positions.append(position)
                self.moments_s.append(now_s)
        self._moved.set()
        if self.positions and not self.begun.done():
            self.begun.set_result(None)


@contextlib.asynccontextmanager
async def following(url: str, slot_id: str, headers: list[tuple[str, str]]) -> AsyncIterator[Seen]:
    """Follows one slot; yields when the first snapshot has arrived.

    Raises:
        CannotRunError: there was none.
    """
    host, port = address(url)
    transport, seen = await asyncio.get_running_loop().create_connection(Seen, host, port)
    try:
        path = f"/v1/availability/stream?slot_id={slot_id}"
        transport.write(RequestWriter(url)("GET", path, headers=headers))
        try:
            async with asyncio.timeout(OPEN_DEADLINE_S):
                await seen.begun
        except TimeoutError:
            raise CannotRunError("The live stream did not begin.") from None
        yield seen
    finally:
        transport.abort()
