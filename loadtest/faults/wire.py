"""An address of its own that leads to a server, and that can be cut: what both proxies stand on.

What passes, and how it is hurt, is theirs (`carry`). Promised here: whatever one side does to its connection is done to the other's, whichever
direction ends first ends both, and nothing is open when the context is left.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from typing import Any, NamedTuple, Self

CHUNK_BYTES = 65_536
CONNECT_TIMEOUT_S = 5.0


class End(NamedTuple):
    """One end of a connection: what is heard from there, and a way to say something."""

    heard: asyncio.StreamReader
    say: asyncio.StreamWriter


class Wire(ABC):
    """Listens on a port of its own and connects each client to the server; use as an async context manager."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._listener: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._refusing = False

    @abstractmethod
    def carry(self, client: End, server: End) -> tuple[Coroutine[Any, Any, None], ...]:
        """What one connection does until it ends, a coroutine for each direction."""

    @property
    def port(self) -> int:
        """Where clients connect, on 127.0.0.1.

        Raises:
            RuntimeError: it is not open.
        """
        if self._listener is None:
            raise RuntimeError("the proxy is not open")
        return int(self._listener.sockets[0].getsockname()[1])

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the listener and every connection."""
        if self._listener is not None:
            self._listener.close()
        self.cut()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def cut(self, *, refuse: bool = False) -> None:
        """Ends every connection now, in the middle of whatever it carries; with `refuse` new ones end at once, too, until `heal`."""
        self._refusing = refuse
        for connection in list(self._connections):
            connection.cancel()

    def heal(self) -> None:
        """A wire like any other again."""
        self._refusing = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 -- a coroutine always runs in one; narrows the type
        self._connections.add(task)
        server: End | None = None
        try:
            if not self._refusing:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    server = End(*await asyncio.open_connection(self._host, self._port))
                await _until_one_ends(*self.carry(End(reader, writer), server))
        except (OSError, asyncio.CancelledError):
            pass  # what either side does to its connection is done to the other's below
        finally:
            self._connections.discard(task)
            writer.transport.abort()
            if server is not None:
                server.say.transport.abort()


async def pass_on(heard: asyncio.StreamReader, say: asyncio.StreamWriter) -> None:
    """Everything, as it comes."""
    while data := await heard.read(CHUNK_BYTES):
        say.write(data)
        await say.drain()


async def _until_one_ends(*directions: Coroutine[Any, Any, None]) -> None:
    tasks = [asyncio.ensure_future(direction) for direction in directions]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
