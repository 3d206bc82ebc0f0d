"""The real nats-server with the very file that compose mounts: everybody can do their work."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import nats
import pytest
from compose import services
from eventually import eventually
from mounted_nats import mounted_nats

from booking.edge.ending import end
from booking.events.envelope import LogRow
from booking.events.subjects import AVAILABILITY_CHANGES, LOG_HEAD, WAKE
from booking.relay.connect_nats import NatsUnreachable, connected_to_nats
from booking.relay.publish import publish
from booking.relay.stream import inspect, recreate
from projector.consumer.metrics import ConsumerMetrics
from projector.consumer.stream import Stream

EPOCH = UUID("0197f0c0-0000-7000-8000-000000000001")
EVENT = UUID("0197f0c0-0000-7000-8000-000000000002")
ROW = LogRow(
    position=1,
    event_id=EVENT,
    type="ResourceCreated",
    schema=1,
    recorded_at=datetime(2030, 1, 1, tzinfo=UTC),
    actor="tester",
    command_id="c",
    correlation_id=None,
    traceparent=None,
    booking_id=None,
    resource_id=EVENT,
    slots="[]",
    data="{}",
)


@pytest.fixture(scope="module")
async def address(tmp_path_factory):
    async with mounted_nats(tmp_path_factory.mktemp("mounted_nats")) as address:
        yield address


def url_of(service: str, address: str) -> str:
    """The URL a service is given, with the address of the test's server."""
    environment = services()[service]["environment"]
    url = environment.get("BOOKING_NATS_URL") or environment["PROJECTOR_NATS_URL"]
    return url.replace("nats:4222", address)


@asynccontextmanager
async def connected(service: str, address: str):
    """A connection of a service, and what the server has refused on it so far."""
    refused: list[str] = []

    async def note(error: Exception) -> None:
        refused.append(str(error))

    client = await nats.connect(url_of(service, address), error_cb=note, allow_reconnect=False)
    try:
        yield client, refused
    finally:
        await client.close()


async def test_the_relay_makes_the_stream_and_fills_it(address):
    async with connected("booking-relay", address) as (client, refused):
        jetstream = client.jetstream()
        await recreate(jetstream, EPOCH, head=0)
        assert await publish(client, EPOCH, [ROW]) == 1
        rows = [
            msgspec.structs.replace(ROW, position=position, event_id=UUID(int=position))
            for position in range(2, 12)
        ]
        assert await publish(client, EPOCH, rows) == 11
        assert (await inspect(jetstream)).last_position == 11
        await client.publish(LOG_HEAD, b"{}")
        await client.flush()
        assert refused == []


async def test_the_api_wakes_the_relay(address):
    async with connected("booking-relay", address) as (relay, _):
        awake = await relay.subscribe(WAKE)
        await relay.flush()
        async with connected("booking-api", address) as (api, refused):
            await api.publish(WAKE, b"")
            await api.flush()
            assert (await awake.next_msg(timeout=2)).subject == WAKE
            assert refused == []


async def test_the_projector_reads_the_stream_and_the_heartbeat_and_publishes_its_feed(
    address,
):
    async with connected("booking-relay", address) as (relay, _):
        await recreate(relay.jetstream(), EPOCH, head=0)
        await publish(relay, EPOCH, [ROW])
        stream = Stream(
            url_of("projector", address),
            name="projector",
            start_after=lambda: 0,
            metrics=ConsumerMetrics(),
        )
        stream.wanted.set()
        running = asyncio.create_task(stream.run())
        try:
            arrived = await eventually(lambda: list(stream.arrived))
            assert [each.position for each in arrived] == [1]
            assert await stream.last_sequence() == 1
            heartbeat = {"epoch": EPOCH, "position": 1, "at": ROW.recorded_at}
            await relay.publish(LOG_HEAD, msgspec.json.encode(heartbeat))
            await eventually(lambda: list(stream.heartbeats))
        finally:
            await end(running)
    async with (
        connected("query-api", address) as (queries, refused_queries),
        connected("projector", address) as (projector, refused),
    ):
        feed = await queries.subscribe(AVAILABILITY_CHANGES)
        await queries.flush()
        await projector.publish(AVAILABILITY_CHANGES, b"{}")
        assert (await feed.next_msg(timeout=2)).data == b"{}"
        assert refused == refused_queries == []


async def test_nobody_connects_without_a_password(address):
    with pytest.raises(NatsUnreachable, match="Authorization"):
        async with connected_to_nats(f"nats://{address}", name="nobody"):
            pass
