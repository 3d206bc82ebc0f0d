"""A NATS server that repeats itself and loses its order: a proxy that duplicates and shuffles the events it carries.

It speaks the NATS client protocol (docs.nats.io/reference/nats-protocols/nats-protocol): from server to client come lines, and after `MSG` and
`HMSG` a payload of the announced size. Only messages of the events' subjects are touched; everything else passes in order.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from itertools import pairwise
from random import Random
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from loadtest.faults.wire import End, Wire, pass_on

EVENTS = b"booking.events."
# So long an event may be kept back to let later ones overtake it, and so many.
KEPT_BACK_S = 0.02
KEPT_BACK_MAX = 32


class NatsProxy(Wire):
    """An address of its own that leads to a NATS server; use as an async context manager.

    `repeat` is the share of events sent twice, `shuffle` whether they leave in random order; both may be changed at any time.
    """

    def __init__(self, upstream: str, *, rng: Random) -> None:
        self._parts = urlsplit(upstream)
        super().__init__(self._parts.hostname or "127.0.0.1", self._parts.port or 4222)
        self._rng = rng
        self.repeat = 0.0
        self.shuffle = False
        self.repeated = 0
        self.out_of_order = 0

    @property
    def url(self) -> str:
        """Where the projector connects, with the credentials of the original address."""
        login, at, _ = self._parts.netloc.rpartition("@")
        return urlunsplit(self._parts._replace(netloc=f"{login}{at}127.0.0.1:{self.port}"))

    def heal(self) -> None:
        """Every event once and in order again."""
        super().heal()
        self.repeat = 0.0
        self.shuffle = False

    def carry(self, client: End, server: End) -> tuple[Coroutine[Any, Any, None], ...]:
        """What the projector says as it is; what the server says twice, and shuffled."""
        return pass_on(client.heard, server.say), self._disturb(server.heard, client.say)

    async def _disturb(self, said: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        """Frames from the server; events are kept back for a moment and leave shuffled, some of them twice."""
        kept: list[tuple[int, bytes]] = []
        loop = asyncio.get_running_loop()
        number = 0

        def release() -> None:
            if self.shuffle:
                self._rng.shuffle(kept)
            self.out_of_order += sum(a[0] > b[0] for a, b in pairwise(kept))
            to_client.write(b"".join(frame for _, frame in kept))
            kept.clear()

        due: asyncio.TimerHandle | None = None
        async for frame in _frames(said):
            if not (self.shuffle or self.repeat) or not _is_event(frame):
                to_client.write(frame)
                await to_client.drain()
                continue
            number += 1
            kept.append((number, frame))
            if self._rng.random() < self.repeat:
                self.repeated += 1
                kept.append((number, frame))
            if len(kept) >= KEPT_BACK_MAX:
                release()
            if due is None or due.when() <= loop.time():
                due = loop.call_later(KEPT_BACK_S, release)


def _is_event(frame: bytes) -> bool:
    verb, _, rest = frame.partition(b" ")
    return verb in (b"MSG", b"HMSG") and rest.startswith(EVENTS)


async def _frames(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Each protocol line, with the payload that belongs to it."""
    while line := await reader.readline():
        if line.startswith((b"MSG ", b"HMSG ")):
            size = int(line.split()[-1])
            yield line + await reader.readexactly(size + 2)
        else:
            yield line
