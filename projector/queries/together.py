"""Those who ask at the same moment share one statement.

The next statement asks for whatever queued while the last ones were under way: no timer, so nobody
waits for company. A statement begins after everyone in it has asked, so sharing makes no answer
older. It spares most of what a read costs: a trip to the database and back.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

LANES = 2
"""Statements at a time: one is being answered while the next is gathered."""
KEYS_MAX = 256
"""Per statement."""


class Together(Generic[K, V]):
    """Finds values by key, many keys with one statement."""

    def __init__(
        self, look: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]], *, lanes: int = LANES
    ) -> None:
        self._look = look
        self._lanes_max = lanes
        self._asked: list[tuple[K, asyncio.Future[V]]] = []
        self._lanes: set[asyncio.Task[None]] = set()

    async def find(self, key: K) -> V:
        """The value of a key, by a statement that begins after this call."""
        future: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        self._asked.append((key, future))
        if len(self._lanes) < self._lanes_max:
            lane = asyncio.create_task(self._run(), name="together")
            self._lanes.add(lane)
            lane.add_done_callback(self._lanes.discard)
        return await future

    async def _run(self) -> None:
        while self._asked:
            batch, self._asked = self._asked[:KEYS_MAX], self._asked[KEYS_MAX:]
            try:
                found = await self._look(list({key for key, _ in batch}))
            except Exception as error:  # noqa: BLE001  whoever asked is told
                # So are those who queued meanwhile: they would only wait for the same failure.
                failed, self._asked = batch + self._asked, []
                for _, future in failed:
                    if not future.done():
                        future.set_exception(error)
                continue
            for key, future in batch:
                if not future.done():  # it may have stopped waiting
                    future.set_result(found[key])
