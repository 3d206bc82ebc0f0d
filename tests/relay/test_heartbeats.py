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


@pytest.fixture
def at(relay):
    """Sets the relay's clock."""

    def set_clock(moment_s: float) -> None:
        relay._now = lambda: moment_s

    set_clock(1000.0)
    return set_clock


async def test_a_quiet_log_is_said_to_be_quiet(database, relay, heartbeats, at):
    await write_events(database, 7)
    await relay_everything(relay)
    before = await database.fetchval("SELECT clock_timestamp()")

    at(1000.11)
    assert (await relay.run_once()).heartbeat

    await eventually(lambda: len(heartbeats) == 2)
    heard = heartbeats[-1]
    assert (heard.epoch, heard.position) == (await epoch_of(database), 7)
    assert before <= heard.at <= await database.fetchval("SELECT clock_timestamp()")


async def test_between_two_heartbeats_of_a_quiet_log_lies_a_tenth_of_a_second(relay, at):
    beats = []
    for moment in (1000.0, 1000.05, 1000.09, 1000.11, 1000.15, 1000.22):
        at(moment)
        beats += [(await relay.run_once()).heartbeat]

    assert beats == [True, False, False, True, False, True]


async def test_where_the_log_ends_now_is_said_ahead_of_its_last_events(
    database, relay, heartbeats, at, monkeypatch
):
    """Whoever has applied them knows how fresh that is without waiting for a quiet moment."""
    order = []
    append = relay._append

    async def appended(*what):
        await eventually(lambda: len(heartbeats) == 2)
        order.append("appended behind the heartbeat")
        return await append(*what)

    await relay.run_once()
    monkeypatch.setattr(relay, "_append", appended)
    await write_events(database, 3)
    decided_at = await database.fetchval("SELECT clock_timestamp()")
    at(1000.03)
    done = await relay.run_once()

    assert (done.published, done.heartbeat, order) == (3, True, ["appended behind the heartbeat"])
    assert heartbeats[-1].position == 3
    assert heartbeats[-1].at >= decided_at


async def test_between_two_heartbeats_of_a_busy_log_lie_twenty_milliseconds(database, relay, at):
    beats = []
    for moment in (1000.0, 1000.01, 1000.015, 1000.021, 1000.03, 1000.05):
        at(moment)
        await write_events(database, 1)
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


async def test_where_the_log_ends_is_not_said_long_before_its_events(
    database, relay, heartbeats, at, monkeypatch
):
    monkeypatch.setattr(relay_module, "CHAIN_MAX", 5)
    await write_events(database, 12)

    rounds = await relay_everything(relay)

    assert [(done.published, done.heartbeat) for done in rounds] == [
        (5, False),
        (5, False),
        (2, True),
        (0, False),
    ]
