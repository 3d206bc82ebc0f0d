"""Server-sent events as they come: one connection, parsed while it stays open. What they mean is left to others.

The format is the HTML standard's (html.spec.whatwg.org, "Server-sent events"): lines `event`, `data`, `id`; an empty line ends an event.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable

import httptools
from msgspec import Struct

from loadtest.driver.connection import RequestWriter, address
from loadtest.failures import CannotRunError

CHUNK_BYTES = 65_536
CONNECT_TIMEOUT_S = 5.0


class StreamedEvent(Struct, frozen=True, kw_only=True):
    """One event: its name, its data and its id (a token), as sent."""

    event: str
    data: str
    id: str | None = None


class _Body:
    """What httptools calls: the status, and the pieces of the body without their chunking."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.complete = False

    def on_body(self, body: bytes) -> None:
        self.pieces.append(body)

    def on_message_complete(self) -> None:
        self.complete = True

    def taken(self) -> bytes:
        pieces, self.pieces = self.pieces, []
        return b"".join(pieces)


async def events(
    url: str, path: str, *, headers: Iterable[tuple[str, str]] = (), silence_max_s: float = 10.0
) -> AsyncIterator[StreamedEvent]:
    """Yields events until the server ends the stream or the caller stops asking; the connection is then closed.

    Raises:
        CannotRunError: the answer is no stream, the connection failed, or nothing was heard for `silence_max_s`.
    """
    host, port = address(url)
    body = _Body()
    parser = httptools.HttpResponseParser(body)
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(
                RequestWriter(url)("GET", path, headers=[("Accept", "text/event-stream"), *headers])
            )
            rest = b""
            while not body.complete:
                async with asyncio.timeout(silence_max_s):
                    data = await reader.read(CHUNK_BYTES)
                if not data:
                    return
                parser.feed_data(data)
                if parser.get_status_code() != 200:
                    raise CannotRunError(
                        f"GET {path} was answered {parser.get_status_code()}, not a stream."
                    )
                *whole, rest = (rest + body.taken()).split(b"\n\n")
                for block in whole:
                    event = _event(block)
                    if event is not None:
                        yield event
        finally:
            writer.transport.abort()
    except TimeoutError:
        raise CannotRunError(f"GET {path} fell silent: does the system still run?") from None
    except OSError as error:
        raise CannotRunError(
            f"GET {path} broke off ({error}): does the system still run?"
        ) from error


def _event(block: bytes) -> StreamedEvent | None:
    """None for a comment or a bare `retry`."""
    fields: dict[str, str] = {}
    for line in block.decode().split("\n"):
        name, _, value = line.partition(":")
        if name:
            value = value.removeprefix(" ")
            fields[name] = f"{fields[name]}\n{value}" if name in fields else value
    if "data" not in fields:
        return None
    return StreamedEvent(
        event=fields.get("event", "message"), data=fields["data"], id=fields.get("id")
    )
