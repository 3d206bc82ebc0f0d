"""A connection that nobody uses is ended after a while, and one in use is not, however long it lives."""

import asyncio

import pytest
from a_tiny_part import THING, tiny_server
from eventually import eventually

from booking.edge import servers
from booking.edge.one_write import OneWriteProtocol

ASK = f"GET /v1/things/{THING}?limit=1 HTTP/1.1\r\nHost: tiny\r\n\r\n".encode()


@pytest.fixture
def strikes(monkeypatch):
    """One entry for every time that the timer of a connection struck, a quarter of a second after it was set."""
    found = []
    strike = OneWriteProtocol.timeout_keep_alive_handler

    def noted(protocol):
        found.append(protocol)
        strike(protocol)

    monkeypatch.setattr(OneWriteProtocol, "timeout_keep_alive_handler", noted)
    monkeypatch.setattr(servers, "KEEP_ALIVE_S", 0.25)
    return found


@pytest.fixture
async def connection(strikes):
    async with tiny_server() as client:
        reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        async with asyncio.timeout(20):
            yield reader, writer
        writer.close()


async def answered(reader):
    return await reader.readuntil(b'"slots":[]}')


async def test_a_connection_in_use_lives_on_and_ends_when_nobody_uses_it_any_more(
    connection, strikes
):
    """The timer runs on while requests come, and looks again whenever it strikes."""
    reader, writer = connection

    async def asked_until_it_struck_twice():
        writer.write(ASK)
        await answered(reader)
        return len(strikes) >= 2

    await eventually(asked_until_it_struck_twice)
    assert await reader.read() == b""  # at its end


async def test_a_connection_whose_request_comes_slowly_is_not_idle(connection, strikes):
    reader, writer = connection
    writer.write(ASK)
    await answered(reader)
    writer.write(ASK[:-2])
    await eventually(lambda: strikes)
    writer.write(ASK[-2:])
    assert await answered(reader)
    assert await reader.read() == b""
