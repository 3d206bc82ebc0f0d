"""A log, a stream and a projector of this test only."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import httpx
import pytest
from eventually import eventually

from booking.edge.database import open_pool
from booking.embedded.nats_server import NatsServer
from projector.consumer.projector import Projector
from projector.process import SESSION

sys.path.insert(0, str(Path(__file__).parent))

from at_work import answering, projecting
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
        database_url,
        role="projector_writer",
        name="t",
        size_max=4,
        statement_timeout_ms=5000,
        server_settings=SESSION,
    )
    async with pool:
        yield pool


@pytest.fixture
async def api(
    database_url: str, fresh_nats: NatsServer, projector: Projector
) -> AsyncIterator[httpx.AsyncClient]:
    """The query API beside a projector at work."""
    async with answering(database_url, fresh_nats.url) as client:

        async def ready() -> bool:
            return (await client.get("/health/ready")).status_code == 200

        await eventually(ready)
        yield client


@pytest.fixture
async def projector(
    writer: asyncpg.Pool, stream: TheStream, fresh_nats: NatsServer
) -> AsyncIterator[Projector]:
    async with projecting(writer, fresh_nats.url) as projector:
        yield projector
