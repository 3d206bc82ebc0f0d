"""Live streams when something is wrong: a client that reads nothing, a hole, another epoch, the end."""

import asyncio
import gc
import json
import math
import socket
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest
from at_work import answering
from eventually import eventually
from httpx_sse import aconnect_sse
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from booking.edge.one_write import CUT_OFF, OneWriteProtocol
from booking.events.messages import Changes
from booking.events.subjects import AVAILABILITY_CHANGES
from booking.events.tokens import Token, TokenCodec
from projector.api import sse
from projector.api.answers import Tokens
from projector.api.events_sent import EventsSent
from projector.consumer.due import Due
from projector.replica.follower import Follower
from projector.replica.memory import Replica
from projector.replica.watchers import Watchers

SMALL = 4096
"""Bytes that the systems of both ends may keep for a client that does not read."""


def counted(api, name: str) -> float:
    for line in generate_latest(api.part.metrics).decode().splitlines():
        if line.startswith(f"queries_{name} "):
            return float(line.split()[1])
    return 0.0


class DeafClient:
    """Opens a stream and reads its beginning only."""

    @classmethod
    async def opened(cls, api, query: str) -> "DeafClient":
        self = cls()
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        self.socket.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(self.socket, (api.base_url.host, api.base_url.port))
        request = f"GET /v1/availability/stream?{query} HTTP/1.1\r\nHost: test\r\n\r\n"
        await loop.sock_sendall(self.socket, request.encode())
        await loop.sock_recv(self.socket, 100)
        return self

    async def reads_to_the_end(self) -> bool:
        """Whether the connection has an end, read as far as it goes."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(10):
                while await loop.sock_recv(self.socket, 65536):
                    pass
        except ConnectionResetError:
            return True
        return True

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
async def narrow_api(database_url, fresh_nats, projector, monkeypatch):
    """The query API whose connections keep little, and whose patience is short."""
    monkeypatch.setattr(sse, "STALLED_S", 0.5)
    async with answering(database_url, fresh_nats.url, send_buffer=SMALL) as api:

        async def ready() -> bool:
            return (await api.get("/health/ready")).status_code == 200

        await eventually(ready)
        yield api


async def crowd(log, stream, slots: list[UUID], until) -> None:
    """Book all slots, again and again, until something is so."""
    async with asyncio.timeout(15):
        while not until():
            await log.hold(*slots)
            await stream.copy()
            await asyncio.sleep(0)


async def test_a_client_that_takes_nothing_is_let_go_with_what_waits_for_it(
    log, stream, narrow_api
):
    slots = [await log.slot(capacity=100_000) for _ in range(32)]
    await stream.copy()
    deaf = await DeafClient.opened(narrow_api, f"slot_id={','.join(map(str, slots))}")
    assert counted(narrow_api, "streams_open") == 1
    await crowd(log, stream, slots, lambda: counted(narrow_api, "streams_stalled_total"))
    await eventually(lambda: counted(narrow_api, "streams_open") == 0)
    assert counted(narrow_api, "streams_conflated_total") > 0
    assert await deaf.reads_to_the_end()
    deaf.close()


async def test_a_client_that_takes_nothing_does_not_keep_the_process_from_ending(
    log, stream, narrow_api, monkeypatch
):
    monkeypatch.setattr(sse, "STALLED_S", 60.0)
    slots = [await log.slot(capacity=100_000) for _ in range(32)]
    await stream.copy()
    deaf = await DeafClient.opened(narrow_api, f"slot_id={','.join(map(str, slots))}")
    await crowd(log, stream, slots, lambda: counted(narrow_api, "streams_conflated_total") > 64)
    async with (
        asyncio.timeout(10),
        aconnect_sse(narrow_api, "GET", f"/v1/availability/stream?slot_id={slots[0]}") as source,
    ):
        events = source.aiter_sse()
        await anext(events)
        narrow_api.stop.set()
        while (await anext(events)).event != "bye":
            pass
    deaf.close()


async def test_after_a_hole_in_the_feed_comes_a_snapshot(log, stream, api, projector):
    slot_id = await log.slot()
    await stream.copy()
    async with aconnect_sse(api, "GET", f"/v1/availability/stream?slot_id={slot_id}") as source:
        events = source.aiter_sse()
        assert (await anext(events)).event == "snapshot"
        await eventually(lambda: counted(api, "position") == 1)
        message = Changes(
            epoch=await stream.epoch(),
            generation=projector.checkpoint.generation,
            previous_position=7,
            position=8,
            as_of=datetime.now(UTC),
            part=1,
            parts=1,
            slots=[],
        )
        holes = counted(api, "feed_holes_total")
        await stream.client.publish(AVAILABILITY_CHANGES, msgspec.json.encode(message))
        async with asyncio.timeout(10):
            while (event := await anext(events)).event != "snapshot":
                pass
        assert json.loads(event.data)["slots"][0]["slot_id"] == str(slot_id)
        assert counted(api, "feed_holes_total") == holes + 1


async def test_a_message_of_which_a_part_is_missing_is_a_hole(log, stream, api, projector):
    slot_id = await log.slot()
    await stream.copy()
    await eventually(lambda: counted(api, "position") == 1)
    holes = counted(api, "feed_holes_total")
    last_part = Changes(
        epoch=await stream.epoch(),
        generation=projector.checkpoint.generation,
        previous_position=1,
        position=2,
        as_of=datetime.now(UTC),
        part=2,
        parts=2,
        slots=[],
    )
    await stream.client.publish(AVAILABILITY_CHANGES, msgspec.json.encode(last_part))
    await eventually(lambda: counted(api, "feed_holes_total") == holes + 1)
    assert (await api.get(f"/v1/slots/{slot_id}")).json()["version"] == 1


async def test_who_resumes_with_a_token_of_another_epoch_is_told_so(log, stream, api):
    slot_id = await log.slot()
    await stream.copy()
    secret = await log.pool.fetchval("SELECT secret FROM published.token_secret")
    old = TokenCodec(secret).encode(UUID(int=1), 1)
    for resumed in ({"headers": {"Last-Event-ID": old}}, {"params": {"token": old}}):
        query = {"slot_id": str(slot_id)} | resumed.get("params", {})
        answer = await api.get(
            "/v1/availability/stream", params=query, headers=resumed.get("headers")
        )
        assert answer.status_code == 410
        assert answer.json()["type"] == "/problems/token-epoch-changed"


async def a_poll_that_knows_all_streams(api) -> None:
    """One under way may have begun before a stream was opened, which is then told by a snapshot."""
    polls = counted(api, "polls_total")
    await eventually(lambda: counted(api, "polls_total") >= polls + 2)


async def test_without_nats_a_stream_lives_off_the_poll(log, stream, projector, database_url):
    resource_id = await log.resource()
    slot_id = await log.slot(resource_id)
    await stream.copy()
    async with answering(database_url, "", sync="polling", poll_ms=10) as api:

        async def shown() -> bool:
            return (await api.get(f"/v1/slots/{slot_id}")).status_code == 200

        await eventually(shown)
        for query in (f"slot_id={slot_id}", f"resource_id={resource_id}"):
            async with (
                asyncio.timeout(10),
                aconnect_sse(api, "GET", f"/v1/availability/stream?{query}") as source,
            ):
                events = source.aiter_sse()
                event = await anext(events)
                assert event.event == "snapshot"
                (before,) = json.loads(event.data)["slots"]
                await a_poll_that_knows_all_streams(api)
                await log.hold(slot_id)
                await stream.copy()
                while event.event != "changes":
                    event = await anext(events)
                (after,) = json.loads(event.data)["slots"]
                assert after["version"] == before["version"] + 1
                while event.event != "as_of":
                    event = await anext(events)


async def test_a_stream_that_has_ended_is_gone_without_the_collector(log, stream, api):
    """It comes round rarely: ten thousand clients that come and go would pile up."""
    slot_id = await log.slot()
    await stream.copy()

    def in_memory() -> int:
        of_streams = (OneWriteProtocol, sse.LiveStream)
        return sum(isinstance(each, of_streams) for each in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        before = in_memory()
        client = await DeafClient.opened(api, f"slot_id={slot_id}")
        assert in_memory() == before + 2
        client.close()
        await eventually(lambda: in_memory() == before, because="the stream is gone")
    finally:
        gc.enable()


class FullConnection:
    """Takes the head of an answer and nothing of its body; a stream is sent over it."""

    def __init__(self) -> None:
        self.full, self.cut_off, self.closed = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.counts = sse.StreamCounts()
        self.stream = sse.LiveStream(
            sse.Followed(look=self.never_read),
            slots_max=1,
            follower=Follower(Replica(), Watchers(), Due(timedelta(0), lambda: datetime.now(UTC))),
            events=EventsSent(Tokens(TokenCodec(b"secret"))),
            counts=self.counts,
            admitted=lambda: True,
            ended=lambda _: None,
        ).begin_with(Token(UUID(int=1), 1), datetime.now(UTC), [])

    def begin(self) -> asyncio.Task[None]:
        scope = {"extensions": {CUT_OFF: self.cut_off.set}}
        return asyncio.create_task(self.stream(scope, self.receive, self.send))

    async def receive(self) -> dict:
        await self.closed.wait()
        return {"type": "http.disconnect"}

    async def send(self, message) -> None:
        if message["type"] == "http.response.body":
            self.full.set()
            await asyncio.get_running_loop().create_future()

    async def never_read(self):
        raise AssertionError


async def test_the_end_passes_by_a_stream_that_has_stalled_but_is_not_closed_yet(monkeypatch):
    monkeypatch.setattr(sse, "STALLED_S", 0.01)
    connection = FullConnection()
    with capture_logs() as lines:
        sending = connection.begin()
        async with asyncio.timeout(10):
            await connection.cut_off.wait()
            connection.stream.drain()  # or the streams after it would not hear of the end
            connection.closed.set()
            await sending
    assert [(line["event"], line["stalled_s"]) for line in lines] == [("stream_stalled", 0.01)]
    assert connection.counts.stalled == 1


async def test_the_end_passes_by_a_stream_that_stalls_in_the_same_moment(monkeypatch):
    monkeypatch.setattr(sse, "STALLED_S", 0.01)
    connection = FullConnection()
    loop = asyncio.get_running_loop()
    drained = loop.create_future()

    def drain() -> None:
        was_expired = connection.stream._patience.expired()
        connection.stream.drain()
        drained.set_result(was_expired)

    sending = connection.begin()
    async with asyncio.timeout(10):
        await connection.full.wait()
        loop.call_at(math.nextafter(connection.stream._patience.when(), math.inf), drain)
        assert await drained
        connection.closed.set()
        await sending
    assert connection.counts.stalled == 1


@pytest.mark.parametrize("full", ["before the end", "at the end"])
async def test_who_cannot_be_told_bye_is_cut_off_and_not_counted_as_stalled(full, monkeypatch):
    monkeypatch.setattr(sse, "FAREWELL_S", 0.01)
    connection = FullConnection()
    with capture_logs() as lines:
        if full == "at the end":
            connection.stream.drain()
        sending = connection.begin()
        async with asyncio.timeout(10):
            await connection.full.wait()
            if full == "before the end":
                connection.stream.drain()
            await connection.cut_off.wait()
            connection.closed.set()
            await sending
    said = [(line["event"], line.get("waited_s")) for line in lines]
    assert said == [("stream_ended_without_bye", 0.01)]
    assert connection.counts.stalled == 0
