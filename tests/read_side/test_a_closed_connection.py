"""A connection to NATS that the driver closes for good, as the server complained, is replaced."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import msgspec
import nats
import pytest
from at_work import projecting
from eventually import eventually
from nats.aio.client import Client
from prometheus_client import generate_latest
from relaying import relaying

from booking.edge.ending import end
from booking.embedded.nats_server import NatsServer
from booking.events.messages import Changes
from booking.events.subjects import AVAILABILITY_CHANGES
from projector import nats_connection
from projector.consumer import stream as stream_module
from projector.consumer.due import Due
from projector.consumer.metrics import ConsumerMetrics
from projector.consumer.projector import Projector
from projector.consumer.stream import Stream
from projector.replica import feed as feed_module
from projector.replica.feed import ChangeFeed
from projector.replica.follower import Follower
from projector.replica.memory import Replica
from projector.replica.watchers import Watchers

AGAIN_WITHIN_S = 10
SOMEBODY_ELSE = 'authorization { user: "somebody", password: "else" }\n'


@pytest.fixture
def clients(monkeypatch) -> list[Client]:
    """The read side's connections, in the order in which they were made."""
    made: list[Client] = []

    async def connect(url: str, **how) -> Client:
        made.append(await nats_connection.connect(url, **how))
        return made[-1]

    for module in (stream_module, feed_module):
        monkeypatch.setattr(module, "connect", connect)
    return made


@asynccontextmanager
async def nobody_let_in(server: NatsServer) -> AsyncIterator[None]:
    """The server asks for a password that nobody has: it complains to all who are connected."""
    configuration = server.store_dir.with_name(f"{server.store_dir.name}.run") / "nats.conf"
    as_it_was = configuration.read_text()
    for text in (as_it_was + SOMEBODY_ELSE, as_it_was):
        configuration.write_text(text)
        os.kill(server.child.pid, signal.SIGHUP)
        if text != as_it_was:
            yield


async def closed(client: Client) -> None:
    await eventually(lambda: client.is_closed, because="the driver has closed it")


@pytest.fixture
async def projector(writer, database_url, fresh_nats, clients) -> AsyncIterator[Projector]:
    """A projector beside a relay."""
    async with (
        relaying(database_url, fresh_nats.url),
        projecting(writer, fresh_nats.url) as projector,
    ):
        yield projector


async def test_a_projector_takes_events_from_the_stream_again(
    log, owner, fresh_nats, clients, projector
):
    async def caught_up() -> bool:
        return await owner.fetchval("SELECT position FROM read_model.checkpoint") == log.position

    async def comes_by_the_stream() -> bool:
        before = projector.intake.from_log
        await log.hold(slot_id)
        await eventually(caught_up)
        return projector.intake.from_log == before

    slot_id = await log.slot(capacity=500)
    await eventually(comes_by_the_stream, within_s=AGAIN_WITHIN_S)
    async with nobody_let_in(fresh_nats):
        await closed(clients[0])
        await log.hold(slot_id)
        await eventually(caught_up, because="the log is asked meanwhile")

    await eventually(comes_by_the_stream, within_s=AGAIN_WITHIN_S)
    said = generate_latest(projector.metrics.registry).decode()
    assert "projector_nats_reconnects_total 1.0" in said


async def test_one_that_stands_by_is_connected_again_too(fresh_nats, clients):
    stream = Stream(
        fresh_nats.url, name="p", start_after=lambda: 0, metrics=ConsumerMetrics()
    )  # nothing is wanted of it
    running = asyncio.create_task(stream.run())
    await eventually(lambda: clients)
    async with nobody_let_in(fresh_nats):
        await closed(clients[0])

    await eventually(lambda: stream.client and stream.client.is_connected, within_s=AGAIN_WITHIN_S)
    await end(running)
    assert running.done()
    assert all(client.is_closed for client in clients)


def deaf_follower() -> Follower:
    return Follower(Replica(), Watchers(), Due(timedelta(), lambda: datetime.now(UTC)))


def where_it_stands() -> bytes:
    changes = Changes(
        epoch=uuid4(),
        generation=1,
        previous_position=1,
        position=1,
        as_of=datetime.now(UTC),
        part=1,
        parts=1,
        slots=[],
    )
    return msgspec.json.encode(changes)


async def test_a_query_node_hears_the_change_feed_again(fresh_nats, clients):
    feed = ChangeFeed(deaf_follower(), fresh_nats.url, name="node")
    listening = asyncio.create_task(feed.listen())

    async def heard() -> bool:
        before = feed.messages
        client = await nats.connect(fresh_nats.url)
        await client.publish(AVAILABILITY_CHANGES, where_it_stands())
        await client.close()
        await eventually(lambda: feed.messages > before, within_s=1)
        return True

    await eventually(heard)
    async with nobody_let_in(fresh_nats):
        await closed(clients[0])

    await eventually(heard, within_s=AGAIN_WITHIN_S)
    await end(listening)
    assert listening.done()


async def test_who_is_let_in_no_more_ends_when_asked(fresh_nats, clients):
    feed = ChangeFeed(deaf_follower(), fresh_nats.url, name="node")
    stream = Stream(fresh_nats.url, name="p", start_after=lambda: 0, metrics=ConsumerMetrics())
    tasks = [asyncio.create_task(feed.listen()), asyncio.create_task(stream.run())]
    await eventually(lambda: len(clients) == 2)
    async with nobody_let_in(fresh_nats):
        for client in list(clients):
            await closed(client)
        await end(*tasks)
        assert all(task.done() for task in tasks)
