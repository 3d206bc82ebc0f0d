"""A query node as a process of its own, to be measured, frozen or killed."""

import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from eventually import eventually
from plain_http import plain_http

from booking.embedded.child import Child


@asynccontextmanager
async def a_node(
    database_url: str, nats_url: str, folder: Path, **environ: str
) -> AsyncIterator[tuple[Child, httpx.AsyncClient]]:
    """`projector api` at work, and a client for it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "PROJECTOR_DATABASE_URL": database_url,
        "PROJECTOR_LOG_DATABASE_URL": database_url,
        "PROJECTOR_NATS_URL": nats_url,
        "PROJECTOR_PORT": str(port),
        "BOOKING_ENVIRONMENT": "development",
        "BOOKING_DATA_DIR": str(folder),
    }
    program = [sys.executable, "-m", "projector.cli", "api"]
    node = await Child.start(
        "queries", program, environ=os.environ | settings | environ, log=folder / "log"
    )
    try:
        async with plain_http(f"http://127.0.0.1:{port}", timeout=20) as client:

            async def ready() -> bool:
                with contextlib.suppress(httpx.TransportError):
                    return (await client.get("/health/ready")).status_code == 200
                return False

            await eventually(ready, within_s=20, because=(folder / "log").read_text())
            yield node, client
    finally:
        await node.stop()
