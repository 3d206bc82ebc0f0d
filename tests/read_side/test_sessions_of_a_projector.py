"""A projector's connections: short questions to the write database, settings from the beginning."""

import asyncio

import asyncpg
import pytest
from at_work import projecting
from eventually import eventually

from booking.edge.database import open_pool
from projector import process
from projector.settings import Settings


@pytest.fixture
async def pools(log, owner, database_url, monkeypatch) -> dict[str, asyncpg.Pool]:
    """The pools of a projector process at work, which has applied an event."""
    opened: dict[str, asyncpg.Pool] = {}

    def kept(name: str):
        opens = getattr(process, name)

        async def open_and_keep(*arguments, **how) -> asyncpg.Pool:
            opened[name] = await opens(*arguments, **how)
            return opened[name]

        return open_and_keep

    for name in ("open_log", "open_read_model"):
        monkeypatch.setattr(process, name, kept(name))
    settings = Settings(
        database_url=database_url,
        log_database_url=database_url,
        environment="development",
        sync="polling",
    )
    stop = asyncio.Event()
    running = asyncio.create_task(process.run(settings, stop))
    await log.slot()

    async def applied() -> bool:
        return await owner.fetchval("SELECT position FROM read_model.checkpoint") == 1

    try:
        await eventually(applied)
        yield opened
    finally:
        stop.set()
        await running


async def test_no_statement_of_a_projector_holds_a_snapshot_of_the_write_database_beyond_2_s(pools):
    assert await pools["open_log"].fetchval("SHOW statement_timeout") == "2s"


async def test_whoever_uses_the_read_model_finds_the_settings_that_a_projector_needs(pools):
    """Its one other connection is not the one that moves the checkpoint: that is never given back."""
    beside = pools["open_read_model"]
    assert await beside.fetchval("SHOW enable_seqscan") == "off"
    assert await beside.fetchval("SHOW synchronous_commit") == "off"


async def test_a_projector_leaves_a_connection_as_it_was(log, owner, database_url):
    await log.slot()
    its_pool = await open_pool(
        database_url, role="projector_writer", name="t", size_max=3, statement_timeout_ms=5000
    )
    async with its_pool as pool:
        async with projecting(pool, None, poll_s=0.02):
            pass
        taken = [await pool.acquire() for _ in range(3)]
        found = {await each.fetchval("SHOW enable_seqscan") for each in taken}
        for each in taken:
            await pool.release(each)
    assert found == {"on"}
