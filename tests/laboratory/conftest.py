"""A small real server for the driver to load: it is the driver that is tested here, the system comes in the whole sale."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import pytest
import uvicorn

# Helpers for these tests lie beside this file.
sys.path.insert(0, str(Path(__file__).parent))

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Echo:
    """Answers as the path says: /status/503, /slow (after `release` is set), /hangup; counts what it was asked."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.asked: list[str] = []
        self.connections: set[tuple[str, int]] = set()
        self.body = b'{"asked":1}'

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        self.asked.append(path)
        self.connections.add(tuple(scope["client"]))
        while (await receive()).get("more_body"):
            pass
        if path == "/slow":
            await self.release.wait()
        if path == "/hangup":
            raise ConnectionError("the test asked for it")
        status = int(path.rsplit("/", 1)[-1]) if path.startswith("/status/") else 200
        headers = [
            (b"server-timing", b"lag;dur=12.3, wait;dur=0.4"),
            (b"content-length", str(len(self.body)).encode()),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if path == "/torn":
            await send({"type": "http.response.body", "body": self.body[:2], "more_body": True})
            raise ConnectionError("the test asked for it")
        await send({"type": "http.response.body", "body": self.body})


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    app = Echo()
    # The protocol is named, or asyncio leaves Nagle's algorithm on and every answer takes 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    app.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    config = uvicorn.Config(app, log_level="critical", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    server.config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])
    yield app
    app.release.set()
    await server.shutdown(sockets=[listener])
