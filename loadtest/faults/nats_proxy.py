"""A NATS server that repeats itself and loses its order: a proxy that duplicates and shuffles the events it carries.

It speaks the NATS client protocol (docs.nats.io/reference/nats-protocols/nats-protocol): from server to client come lines, and after `MSG` and
`HMSG` a payload of the announced size. Only messages of the events' subjects are touched; everything else passes in order.
"""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from random import Random
from typing import Self
from urllib.parse import urlsplit, urlunsplit

EVENTS = b"booking.events."
CHUNK_BYTES = 65_536
CONNECT_TIMEOUT_S = 5.0
# So long an event may be kept back to let later ones overtake it, and so many.
KEPT_BACK_S = 0.02
KEPT_BACK_MAX = 32


class NatsProxy:
    """An address of its own that leads to a NATS server; use as an async context manager.

    `repeat` is the share of events sent twice, `shuffle` whether they leave in random order; both may be changed at any time.
    """

    def __init__(self, upstream: str, *, rng: Random) -> None:
        self._parts = urlsplit(upstream)
        self._rng = rng
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.repeat = 0.0
        self.shuffle = False
        self.repeated = 0
        self.out_of_order = 0

    @property
    def url(self) -> str:
        """Where the projector connects, with the credentials of the original address."""
        if self._server is None:
            raise RuntimeError("the proxy is not open")
        port = self._server.sockets[0].getsockname()[1]
        login, at, _ = self._parts.netloc.rpartition("@")
        return urlunsplit(self._parts._replace(netloc=f"{login}{at}127.0.0.1:{port}"))

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

    def cut(self) -> None:
        """Ends every connection now; clients connect again."""
        for connection in list(self._connections):
            connection.cancel()

    def heal(self) -> None:
        """Every event once and in order again."""
        self.repeat = 0.0
        self.shuffle = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 -- a coroutine always runs in one; narrows the type
        self._connections.add(task)
        upstream: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                said, upstream = await asyncio.open_connection(
                    self._parts.hostname or "127.0.0.1", self._parts.port or 4222
                )
            pumps = {
                asyncio.ensure_future(_pass_on(reader, upstream)),
                asyncio.ensure_future(self._carry(said, writer)),
            }
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass  # what either side does to its connection is done to the other's below
        finally:
            self._connections.discard(task)
            for end in (writer, upstream):
                if end is not None:
                    end.transport.abort()

    async def _carry(self, said: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
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


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK_BYTES):
        writer.write(data)
        await writer.drain()
