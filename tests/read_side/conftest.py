"""A log, a stream and a projector of this test only."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
import sys

import asyncpg
import httpx
import pytest

from booking.edge.database import DatabaseClock, open_pool
from booking.embedded.nats_server import NatsServer
from booking.edge.serving import bind, http_app, serve, url_of
from projector.app import open_part
from projector.consumer.due import Due
from projector.consumer.intake import Intake
from projector.consumer.metrics import ConsumerMetrics
from projector.consumer.projector import Projector
from projector.consumer.stream import Stream
from projector.settings import Settings

sys.path.insert(0, str(Path(__file__).parent))

from the_log import TheLog, TheStream


@pytest.fixture
async def owner(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    """A pool as superuser: the write side's hand and the test's eyes."""
    async with asyncpg.create_pool(database_url, min_size=1, max_size=4) as pool:
        yield pool


@pytest.fixture
def log(owner: asyncpg.Pool) -> TheLog:
    return TheLog(owner)


@pytest.fixture
async def stream(fresh_nats: NatsServer, owner: asyncpg.Pool) -> AsyncIterator[TheStream]:
    stream = await TheStream.at(fresh_nats.url, owner)
    yield stream
    await stream.client.close()


@pytest.fixture
async def writer(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    """What a projector writes with."""
    pool = await open_pool(
        database_url, role="projector_writer", name="t", size_max=4, statement_timeout_ms=5000
    )
    async with pool:
        yield pool


@asynccontextmanager
async def projecting(
    writer: asyncpg.Pool, nats_url: str, *, lag_ms: int = 0, name: str = "p"
) -> AsyncIterator[Projector]:
    """A projector at work."""
    stop = asyncio.Event()
    async with DatabaseClock(writer) as clock:
        stream = Stream(nats_url, name=name, start_after=lambda: intake.taken)
        due = Due(timedelta(milliseconds=lag_ms), clock.now_at_least)
        intake = Intake(writer, stream, due)
        projector = Projector(
            read_model=writer,
            log=writer,
            stream=stream,
            intake=intake,
            metrics=ConsumerMetrics(),
        )
        projector.intake = intake
        listening = asyncio.create_task(stream.run())
        working = asyncio.create_task(projector.run(stop))
        try:
            yield projector
        finally:
            stop.set()
            await working
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


@asynccontextmanager
async def answering(
    database_url: str, nats_url: str, *, environment: str = "development"
) -> AsyncIterator[httpx.AsyncClient]:
    """The query API on a socket of its own, and a client for it."""
    settings = Settings(
        database_url=database_url,
        log_database_url=database_url,
        nats_url=nats_url,
        environment=environment,
    )
    stop = asyncio.Event()
    async with open_part(settings) as part:
        bound = bind("127.0.0.1", 0, environment=environment)
        app = http_app(part, environment=environment)
        serving = asyncio.create_task(serve(app, sockets=[bound], stop=stop))
        try:
            async with httpx.AsyncClient(base_url=url_of(bound), timeout=20) as client:
                client.stop = stop
                yield client
        finally:
            stop.set()
            await serving


@pytest.fixture
async def api(
    database_url: str, fresh_nats: NatsServer, projector: Projector
) -> AsyncIterator[httpx.AsyncClient]:
    """The query API beside a projector at work."""
    async with answering(database_url, fresh_nats.url) as client:
        yield client


@pytest.fixture
async def projector(
    writer: asyncpg.Pool, stream: TheStream, fresh_nats: NatsServer
) -> AsyncIterator[Projector]:
    async with projecting(writer, fresh_nats.url) as projector:
        yield projector
