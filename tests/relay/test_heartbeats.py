"""A heartbeat says how fresh a quiet log is, and never claims more than is true."""

import asyncio
from datetime import datetime

import asyncpg
import msgspec
import pytest
from eventually import eventually
from log_and_stream import epoch_of, relay_everything, write_events

from booking.events.messages import Heartbeat
from booking.events.subjects import LOG_HEAD
from booking.relay import relay as relay_module
from booking.relay.read_log import read_after

BUSY_FOR_S = 1.5


@pytest.fixture
async def heartbeats(nats) -> list[Heartbeat]:
    """What was heard since the beginning of the test."""
    heard: list[Heartbeat] = []

    async def hear(message) -> None:
        heard.append(msgspec.json.decode(message.data, type=Heartbeat))

    await nats.subscribe(LOG_HEAD, cb=hear)
    await nats.flush()
    return heard


async def test_a_quiet_log_is_said_to_be_quiet(database, relay, heartbeats):
    await write_events(database, 7)
    before = await database.fetchval("SELECT clock_timestamp()")

    rounds = await relay_everything(relay)

    assert [done.heartbeat for done in rounds] == [False, True]
    await eventually(lambda: heartbeats)
    (heard,) = heartbeats
    assert (heard.epoch, heard.position) == (await epoch_of(database), 7)
    assert before <= heard.at <= await database.fetchval("SELECT clock_timestamp()")


async def test_between_two_heartbeats_lies_a_tenth_of_a_second(relay):
    clock = iter((1000.0, 1000.05, 1000.09, 1000.1, 1000.15, 1000.2))
    await relay.run_once()
    relay._heartbeat_at_s = 1000.0

    beats = []
    for moment in clock:
        relay._now = lambda moment=moment: moment
        beats += [(await relay.run_once()).heartbeat]

    assert beats == [True, False, False, True, False, True]


async def test_no_heartbeat_speaks_for_an_epoch_that_has_ended(database, relay, heartbeats):
    await relay_everything(relay)
    await database.execute("SELECT published.new_epoch($1)", await epoch_of(database))

    done = await relay.run_once()  # only learns of it; the next one makes the new stream

    assert not done.heartbeat


async def test_a_heartbeat_never_claims_too_much(database, database_url):
    """Whatever was committed before the moment `at` is at or below the heartbeat's position."""
    committed_by: dict[int, datetime] = {}
    stop = asyncio.Event()

    async def write(pool: asyncpg.Pool) -> None:
        async with pool.acquire() as connection:
            while not stop.is_set():
                async with connection.transaction():
                    await write_events(connection, 1)
                    position = await connection.fetchval('SELECT "position" FROM booking.log_head')
                committed_by[position] = await connection.fetchval("SELECT clock_timestamp()")

    heads = []
    async with asyncpg.create_pool(database_url, min_size=5, max_size=5) as pool:
        writers = [asyncio.create_task(write(pool)) for _ in range(4)]
        deadline = asyncio.get_running_loop().time() + BUSY_FOR_S
        while asyncio.get_running_loop().time() < deadline:
            head, _ = await read_after(pool, 0, events_max=1)
            heads.append(head)
        stop.set()
        await asyncio.gather(*writers)

    assert len(committed_by) > 50
    assert len(heads) > 50
    for head in heads:
        too_much = [
            position
            for position, moment in committed_by.items()
            if position > head.position and moment < head.at
        ]
        assert not too_much, f"{head} knows nothing of {too_much}"


async def test_a_busy_relay_has_no_time_for_heartbeats(database, relay, heartbeats, monkeypatch):
    monkeypatch.setattr(relay_module, "CHAIN_MAX", 5)
    await write_events(database, 12)

    rounds = await relay_everything(relay)

    assert [(done.published, done.heartbeat) for done in rounds] == [
        (5, False),
        (5, False),
        (2, False),
        (0, True),
    ]
