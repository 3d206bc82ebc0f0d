"""A wire that can be slow, or lose answers: a TCP proxy between the driver and an address of the system.

What it loses are answers that have already left the server: the request was carried out, the connection then ends without a word. That is the
one failure after which a client cannot know. It understands just enough HTTP to lose a whole answer: where one begins, and that nothing else
of it gets through.
"""

import asyncio
import contextlib
from random import Random
from typing import Self
from urllib.parse import urlsplit

CHUNK_BYTES = 65_536
CONNECT_TIMEOUT_S = 5.0


class TcpProxy:
    """An address of its own that leads to `upstream` (http://host:port); use as an async context manager.

    `delay_ms` is added to each answer, `lose_answers` is the share of answers lost (0..1); both may be changed at any time. `lost` counts.
    """

    def __init__(self, upstream: str, *, rng: Random) -> None:
        parts = urlsplit(upstream)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._rng = rng
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._refusing = False
        self.delay_ms = 0.0
        self.lose_answers = 0.0
        self.lost = 0

    @property
    def url(self) -> str:
        """Where clients connect."""
        if self._server is None:
            raise RuntimeError("the proxy is not open")
        port = self._server.sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the listener and every connection."""
        if self._server is not None:
            self._server.close()
        self.cut()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def cut(self, *, refuse: bool = False) -> None:
        """Ends every connection now, in the middle of whatever it carries; with `refuse` new ones end at once, too, until `heal`."""
        self._refusing = refuse
        for connection in list(self._connections):
            connection.cancel()

    def heal(self) -> None:
        """A wire like any other again."""
        self.delay_ms = 0.0
        self.lose_answers = 0.0
        self._refusing = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 -- a coroutine always runs in one; narrows the type
        self._connections.add(task)
        upstream: asyncio.StreamWriter | None = None
        try:
            if not self._refusing:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    answers, upstream = await asyncio.open_connection(self._host, self._port)
                await self._carry(reader, writer, answers, upstream)
        except (OSError, asyncio.CancelledError):
            pass  # what either side does to its connection is done to the other's below
        finally:
            self._connections.discard(task)
            for end in (writer, upstream):
                if end is not None:
                    end.transport.abort()

    async def _carry(
        self,
        requests: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        answers: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
    ) -> None:
        asked = asyncio.Event()

        async def forward() -> None:
            while data := await requests.read(CHUNK_BYTES):
                asked.set()
                to_server.write(data)
                await to_server.drain()

        forwarding = asyncio.ensure_future(forward())
        answering = asyncio.ensure_future(self._answer(answers, to_client, asked))
        try:
            # Whichever side ends first ends both.
            await asyncio.wait({forwarding, answering}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (forwarding, answering):
                task.cancel()
            await asyncio.gather(forwarding, answering, return_exceptions=True)

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
