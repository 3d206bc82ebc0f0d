"""The live stream: whole slots, in order, with their age, and a word of farewell."""

import asyncio
import json
import socket
from contextlib import asynccontextmanager
from uuid import uuid4

from eventually import eventually
from httpx_sse import aconnect_sse


@asynccontextmanager
async def following(api, query: str, **headers):
    """The events of a stream, one by one, each within a deadline."""
    async with aconnect_sse(
        api, "GET", f"/v1/availability/stream?{query}", headers=headers
    ) as source:
        source.response.raise_for_status()
        events = source.aiter_sse()

        async def next_event(*kinds: str):
            async with asyncio.timeout(10):
                while True:
                    event = await anext(events)
                    if not kinds or event.event in kinds:
                        return event, json.loads(event.data)

        yield next_event


async def test_a_snapshot_then_changes_with_whole_slots(log, stream, api):
    slot_id = await log.slot(capacity=5)
    await log.slot()  # of no interest
    await stream.copy()
    async with following(api, f"slot_id={slot_id}") as next_event:
        event, snapshot = await next_event("snapshot")
        assert event.retry == 1000
        while snapshot["position"] < 2:
            event, snapshot = await next_event("snapshot", "changes", "as_of")
        assert event.id
        await log.hold(slot_id, units=2)
        await stream.copy()
        event, changes = await next_event("changes", "snapshot")
        assert changes["position"] == 3
        (slot,) = changes["slots"]
        assert (slot["slot_id"], slot["remaining"], slot["version"]) == (str(slot_id), 3, 2)
        assert slot["starts_at"]


async def test_as_of_is_told_every_second_even_when_nothing_changes(log, stream, api):
    slot_id = await log.slot()
    await stream.copy()
    async with following(api, f"slot_id={slot_id}") as next_event:
        _, first = await next_event("as_of")
        _, second = await next_event("as_of")
        assert second["as_of"] > first["as_of"]
        assert set(second) == {"position", "as_of"}


async def test_a_whole_resource_can_be_followed_and_new_slots_join(log, stream, api):
    resource_id = await log.resource()
    async with following(api, f"resource_id={resource_id}") as next_event:
        _, snapshot = await next_event("snapshot")
        assert snapshot["slots"] == []
        slot_id = await log.slot(resource_id)
        await stream.copy()
        _, changes = await next_event("changes", "snapshot")
        while not changes["slots"]:
            _, changes = await next_event("changes", "snapshot")
        assert [slot["slot_id"] for slot in changes["slots"]] == [str(slot_id)]


async def test_who_resumes_gets_a_snapshot_not_older_than_what_it_had(log, stream, api):
    slot_id = await log.slot(capacity=5)
    await stream.copy()
    async with following(api, f"slot_id={slot_id}") as next_event:
        event, data = await next_event()
        while data["position"] < 1:
            event, data = await next_event()
        token = event.id
    await log.hold(slot_id)
    await stream.copy()
    async with following(api, f"slot_id={slot_id}", **{"Last-Event-ID": token}) as next_event:
        event, snapshot = await next_event()
        assert event.event == "snapshot"
        assert snapshot["position"] >= 1
    forged = await api.get(f"/v1/availability/stream?slot_id={slot_id}&token=forged")
    assert forged.json()["type"] == "/problems/invalid-token"


async def test_bye_is_said_before_the_process_ends(log, stream, api):
    async with following(api, f"slot_id={uuid4()}") as next_event:
        await next_event("snapshot")
        api.stop.set()
        event, _ = await next_event("bye")
        assert event.event == "bye"


async def test_head_of_a_stream_ends_at_once(api):
    answer = await api.head(f"/v1/availability/stream?slot_id={uuid4()}")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")


async def test_a_stream_must_say_what_it_follows(api):
    neither = await api.get("/v1/availability/stream")
    assert neither.status_code == 400
    too_many = ",".join(str(uuid4()) for _ in range(101))
    assert (await api.get(f"/v1/availability/stream?slot_id={too_many}")).status_code == 400


async def test_a_slow_client_gets_the_newest_state_when_it_reads_again(log, stream, api, owner):
    slot_id = await log.slot(capacity=10_000)
    await stream.copy()
    url = api.base_url
    reader, writer = await _narrow_connection(url.host, url.port)
    writer.write(
        f"GET /v1/availability/stream?slot_id={slot_id} HTTP/1.1\r\nHost: test\r\n\r\n".encode()
    )
    await reader.readuntil(b"event: snapshot")
    for _ in range(60):
        await log.hold(slot_id)
        await stream.copy()

    async def applied() -> bool:
        return (await api.get(f"/v1/slots/{slot_id}")).json()["version"] == 61

    await eventually(applied)
    sold_out = b'"version":61'
    async with asyncio.timeout(10):
        while sold_out not in await reader.readuntil(b"\n\n"):
            pass
    writer.close()


async def _narrow_connection(host: str, port: int):
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    narrow.setblocking(False)
    await asyncio.get_running_loop().sock_connect(narrow, (host, port))
    return await asyncio.open_connection(sock=narrow, limit=2048)
