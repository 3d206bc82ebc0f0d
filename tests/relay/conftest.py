"""A relay that is stepped by hand, beside the log it reads and the stream it keeps."""

from collections.abc import AsyncIterator

import pytest
from log_and_stream import relay_on
from nats.aio.client import Client

from booking.embedded.nats_server import NatsServer
from booking.relay.connect_nats import connected_to_nats
from booking.relay.relay import Relay


@pytest.fixture
async def nats(fresh_nats: NatsServer) -> AsyncIterator[Client]:
    """A connection of the test's own, beside the relay's."""
    async with connected_to_nats(fresh_nats.url, name="test") as client:
        yield client


@pytest.fixture
async def relay(database_url: str, fresh_nats: NatsServer) -> AsyncIterator[Relay]:
    async with relay_on(database_url, fresh_nats.url) as relay:
        yield relay
