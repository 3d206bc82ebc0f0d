"""One HTTP connection, as plain as can be: a hundred thousand requests must not take an hour."""

import asyncio
import json
from typing import Any, Self
from urllib.parse import urlsplit

DEADLINE_S = 30


class Reply:
    """Status, headers (lower case) and body."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self._body = status, headers, body

    @property
    def json(self) -> Any:
        return json.loads(self._body)

    @property
    def token(self) -> str:
        return self.headers["consistency-token"]


class Line:
    """Asks one thing after the other; use as an async context manager."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(
            self._url.hostname, self._url.port
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def get(self, path: str, **headers: str) -> Reply:
        return await self._ask("GET", path, headers, b"")

    async def post(self, path: str, body: object, **headers: str) -> Reply:
        content = json.dumps(body).encode()
        return await self._ask(
            "POST", path, headers | {"Content-Type": "application/json"}, content
        )

    async def _ask(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        said = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        self._writer.write(
            f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{said}\r\n".encode()
            + body
        )
        async with asyncio.timeout(DEADLINE_S):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode().splitlines()
            got = {}
            for line in head[1:-1]:
                name, _, value = line.partition(": ")
                got[name.lower()] = value
            content = await self._reader.readexactly(int(got.get("content-length", 0)))
        return Reply(int(head[0].split()[1]), got, content)
