"""The read side at work inside a test: a projector, and the query API on a socket of its own."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
import httpx
from eventually import eventually
from plain_http import plain_http

from booking.edge.database import DatabaseClock
from booking.edge.ending import end
from booking.edge.serving import bind, http_app, serve, url_of
from projector.app import open_part
from projector.consumer.due import Due
from projector.consumer.intake import Intake
from projector.consumer.metrics import ConsumerMetrics
from projector.consumer.projector import Projector
from projector.consumer.silence import Silence
from projector.consumer.stream import Stream
from projector.guards import GUARDS, THE_PRODUCTS
from projector.settings import Settings


@asynccontextmanager
async def projecting(
    writer: asyncpg.Pool,
    nats_url: str | None,
    *,
    lag_ms: int = 0,
    name: str = "p",
    poll_s: float | None = None,
    guard: str = THE_PRODUCTS,
) -> AsyncIterator[Projector]:
    """A projector at work; without a URL of NATS it polls."""
    stop = asyncio.Event()
    metrics = ConsumerMetrics()
    async with DatabaseClock(writer) as clock:
        stream = (
            Stream(nats_url, name=name, start_after=lambda: intake.taken, metrics=metrics)
            if nats_url
            else Silence()
        )
        due = Due(timedelta(milliseconds=lag_ms), clock.now_at_least)
        intake = Intake(writer, stream, due, metrics, poll_s=poll_s, guard=GUARDS[guard])
        projector = Projector(
            read_model=writer,
            log=writer,
            stream=stream,
            intake=intake,
            metrics=metrics,
            guard=GUARDS[guard],
        )
        projector.intake, projector.metrics, projector.stream = intake, metrics, stream
        listening = asyncio.create_task(stream.run())
        working = asyncio.create_task(projector.run(stop))
        try:
            await eventually(lambda: projector.state != "rebuilding", because="it has begun")
            yield projector
        finally:
            stop.set()
            await working
            await end(listening)


@asynccontextmanager
async def answering(
    database_url: str,
    nats_url: str,
    *,
    environment: str = "development",
    send_buffer: int | None = None,
    **settings,
) -> AsyncIterator[httpx.AsyncClient]:
    """The query API on a socket of its own, and a client for it; `.part` is what it serves."""
    settings = Settings(
        database_url=database_url,
        log_database_url=database_url,
        nats_url=nats_url,
        environment=environment,
        **settings,
    )
    stop = asyncio.Event()
    async with open_part(settings) as part:
        bound = bind("127.0.0.1", 0, environment=environment)
        if send_buffer is not None:  # what the system keeps for a client that does not read
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        app = http_app(part, environment=environment)
        serving = asyncio.create_task(serve(app, sockets=[bound], stop=stop))
        try:
            async with plain_http(url_of(bound), timeout=20) as client:
                client.stop, client.part = stop, part
                yield client
        finally:
            stop.set()
            await serving
