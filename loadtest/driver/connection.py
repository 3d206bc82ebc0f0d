"""One keep-alive connection: bytes out, one parsed answer back, no pipelining.

It is an asyncio protocol around httptools' parser and calls back instead of making futures, because the generator shares its
cores with the system it measures. Time limits and the meaning of an answer are left to whoever holds the connection.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import cast
from urllib.parse import urlsplit

import httptools

from loadtest.failures import CannotRunError


class Answer:
    """One HTTP answer as it came: status, header pairs with names in lower case, body."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def header(self, name: bytes) -> bytes | None:
        """The first header of that (lower-case) name."""
        for key, value in self.headers:
            if key.lower() == name:
                return value
        return None


class RequestWriter:
    """Turns a request into bytes for one host; the part that never changes is encoded once."""

    def __init__(self, url: str) -> None:
        host, port = address(url)
        self._host = f" HTTP/1.1\r\nHost: {host}:{port}\r\n".encode()

    def __call__(
        self, method: str, path: str, body: bytes = b"", headers: Iterable[tuple[str, str]] = ()
    ) -> bytes:
        """The bytes of one request; a body is announced as JSON."""
        parts = [method.encode(), b" ", path.encode(), self._host]
        parts.extend(f"{name}: {value}\r\n".encode() for name, value in headers)
        if body:
            parts.append(b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body))
        elif method != "GET":
            parts.append(b"Content-Length: 0\r\n")
        parts.append(b"\r\n")
        parts.append(body)
        return b"".join(parts)


def address(url: str) -> tuple[str, int]:
    """Host and port of a plain http URL.

    Raises:
        CannotRunError: it is another kind of address.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname is None:
        raise CannotRunError(f"{url!r} is no address the driver can load: give http://host:port.")
    return parts.hostname, parts.port or 80


class Connection(asyncio.Protocol):
    """A connection that carries one request at a time, and of each answer keeps the status.

    `send` takes the callback for its answer; `None` instead of an answer means the connection ended first. Every answer is parsed to its end,
    but the parser calls only what is defined here, and a call for each header would cost a fifth of the request.
    """

    __slots__ = (
        "_body",
        "_headers",
        "_on_answer",
        "_on_lost",
        "_parser",
        "_transport",
        "deadline_s",
        "idle_since_s",
        "keep_alive",
    )

    def __init__(self, on_lost: Callable[["Connection"], None] | None = None) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = b""
        self._on_answer: Callable[[Answer | None], None] | None = None
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self.keep_alive = True
        self.deadline_s = 0.0
        self.idle_since_s = 0.0

    @property
    def busy(self) -> bool:
        """Whether a request is on its way."""
        return self._on_answer is not None

    def send(self, request: bytes, on_answer: Callable[[Answer | None], None]) -> None:
        """Writes the request; `on_answer` is called exactly once."""
        self._on_answer = on_answer
        if self._transport is None:
            self.keep_alive = False
            self._finish(None)
        else:
            self._transport.write(request)

    def abort(self) -> None:
        """Ends the connection at once; an outstanding request is called back with None."""
        if self._transport is not None:
            self._transport.abort()

    def _finish(self, answer: Answer | None) -> None:
        on_answer, self._on_answer = self._on_answer, None
        if on_answer is not None:
            on_answer(answer)

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remembers where to write."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        """Feeds the parser; an answer that is no HTTP ends the connection."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.keep_alive = False
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio's signature
        """Tells whoever waits that no answer will come."""
        self._transport = None
        self.keep_alive = False
        self._finish(None)
        if self._on_lost is not None:
            self._on_lost(self)

    # What the parser calls.

    def on_message_complete(self) -> None:
        """Hands the answer over."""
        if not self._parser.should_keep_alive():
            self.keep_alive = False
        self._finish(Answer(self._parser.get_status_code(), self._headers, self._body))


class KeepingConnection(Connection):
    """A connection that keeps headers and bodies, too."""

    __slots__ = ()

    def on_message_begin(self) -> None:
        """Starts a new answer."""
        self._headers = []
        self._body = b""

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collects one header."""
        self._headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        """Collects a piece of the body."""
        self._body = self._body + body if self._body else body


async def connect(
    url: str,
    *,
    timeout_s: float,
    on_lost: Callable[[Connection], None] | None = None,
    kind: type[Connection] = KeepingConnection,
) -> Connection:
    """Opens one connection, which keeps whole answers unless another kind is wanted.

    Raises:
        OSError: nobody answers there, within `timeout_s` or at all (TimeoutError is an OSError).
    """
    host, port = address(url)
    async with asyncio.timeout(timeout_s):
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: kind(on_lost), host, port
        )
    return connection
