"""A wire that can be slow, or lose answers: a TCP proxy between the driver and an address of the system.

What it loses are answers that have already left the server: the request was carried out, the connection then ends without a word. That is the
one failure after which a client cannot know. It understands just enough HTTP to lose a whole answer: where one begins, and that nothing else
of it gets through.
"""

import asyncio
import contextlib
from collections.abc import Coroutine
from random import Random
from typing import Any
from urllib.parse import urlsplit

from loadtest.faults.wire import CHUNK_BYTES, End, Wire


class TcpProxy(Wire):
    """An address of its own that leads to `upstream` (http://host:port); use as an async context manager.

    `delay_ms` is added to each answer, `lose_answers` is the share of answers lost (0..1); both may be changed at any time. `lost` counts.
    """

    def __init__(self, upstream: str, *, rng: Random) -> None:
        parts = urlsplit(upstream)
        super().__init__(parts.hostname or "127.0.0.1", parts.port or 80)
        self._rng = rng
        self.delay_ms = 0.0
        self.lose_answers = 0.0
        self.lost = 0

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"http://127.0.0.1:{self.port}"

    def heal(self) -> None:
        """A wire like any other again."""
        super().heal()
        self.delay_ms = 0.0
        self.lose_answers = 0.0

    def carry(self, client: End, server: End) -> tuple[Coroutine[Any, Any, None], ...]:
        """Requests as they are; answers late, or never."""
        asked = asyncio.Event()
        return _ask(client.heard, server.say, asked), self._answer(server.heard, client.say, asked)

    async def _answer(
        self, answers: asyncio.StreamReader, to_client: asyncio.StreamWriter, asked: asyncio.Event
    ) -> None:
        """Passes answers on; the first bytes after a request decide whether this answer is lost, and with it the connection."""
        while data := await answers.read(CHUNK_BYTES):
            if asked.is_set():
                asked.clear()
                if self.lose_answers and self._rng.random() < self.lose_answers:
                    self.lost += 1
                    return
            if self.delay_ms:
                await asyncio.sleep(self.delay_ms / 1000)
            with contextlib.suppress(ConnectionError):
                to_client.write(data)
                await to_client.drain()


async def _ask(
    requests: asyncio.StreamReader, to_server: asyncio.StreamWriter, asked: asyncio.Event
) -> None:
    while data := await requests.read(CHUNK_BYTES):
        asked.set()
        to_server.write(data)
        await to_server.drain()
