"""A wire that can be cut: connections through it hang from then on, and new ones get no answer."""

import asyncio
from typing import Self
from urllib.parse import parse_qs, urlsplit


class Wire:
    """A TCP proxy before a server; use as an async context manager."""

    def __init__(self, url: str) -> None:
        self.is_cut = False
        self.ends: set[_End] = set()
        self._url = urlsplit(url)
        self._connecting: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _End(self), "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        login, _, _ = self._url.netloc.rpartition("@")
        at = f"{login}@{host}:{port}" if login else f"{host}:{port}"
        self.url = self._url._replace(netloc=at, query="").geturl()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._connecting:
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        for end in list(self.ends):
            end.transport.abort()
        await self._server.wait_closed()

    def cut(self) -> None:
        """From now on nothing gets through, in either direction."""
        self.is_cut = True

    def mend(self) -> None:
        """What was under way goes on."""
        self.is_cut = False
        for end in list(self.ends):
            end.pass_on()

    def connect(self, end: "_End") -> None:
        """Find the other end of a connection."""
        task = asyncio.create_task(self._connect(end))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, end: "_End") -> None:
        loop = asyncio.get_running_loop()
        folder = parse_qs(self._url.query).get("host")
        if folder:  # Postgres on a socket of the file system
            path = f"{folder[0]}/.s.PGSQL.5432"
            _, other = await loop.create_unix_connection(lambda: _End(self, end), path)
        else:
            host, port = self._url.hostname, self._url.port
            _, other = await loop.create_connection(lambda: _End(self, end), host, port)
        end.other = other
        end.pass_on()


class _End(asyncio.Protocol):
    """One end of a connection through the wire."""

    def __init__(self, wire: Wire, other: "_End | None" = None) -> None:
        self.wire, self.other = wire, other
        self.waiting: list[bytes] = []
        self.closed = False

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.wire.ends.add(self)
        if self.other is None:
            self.wire.connect(self)

    def data_received(self, data: bytes) -> None:
        self.waiting.append(data)
        self.pass_on()

    def connection_lost(self, _) -> None:
        self.closed = True
        self.wire.ends.discard(self)
        self.pass_on()

    def pass_on(self) -> None:
        if self.wire.is_cut or self.other is None or self.other.closed:
            return
        waiting, self.waiting = self.waiting, []
        self.other.transport.write(b"".join(waiting))
        if self.closed:
            self.other.transport.close()
