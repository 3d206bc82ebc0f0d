"""What a client sends wrongly is told apart, named, and never becomes a 500."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from a_tiny_part import THING, served, tiny_part
from eventually import eventually
from litestar import post

from booking.edge import one_write, requests
from booking.edge.answers import Answer
from booking.edge.parts import Part
from booking.edge.problems import Problem
from booking.edge.requests import StrictRequest
from booking.edge.serving import http_app

SLOT = THING
JSON = {"content-type": "application/json"}


async def send(tiny, body: bytes | str, **headers: str):
    content = body.encode() if isinstance(body, str) else body
    return await tiny.post("/v1/things", content=content, headers={**JSON, **headers})


async def test_the_documented_body_is_taken(tiny):
    answer = await tiny.post(
        "/v1/things",
        json={
            "name": "Hall",
            "lines": [{"slot_id": SLOT, "units": 1}],
            "starts_at": "2030-01-01T20:00:00+01:00",
        },
    )
    assert answer.status_code == 201
    assert answer.json()["lines"] == [{"slot_id": SLOT, "units": 1}]
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": "a", "lines": [{"slot_id": SLOT, "units": "1"}]}, "/lines/0/units"),
        ({"name": "a", "lines": [{"slot_id": SLOT, "units": 1.0}]}, "/lines/0/units"),
        ({"name": "a", "lines": [{"slot_id": SLOT, "units": True}]}, "/lines/0/units"),
        ({"name": "a", "lines": [{"slot_id": SLOT, "units": 10**23}]}, "/lines/0/units"),
        ({"name": "a", "lines": [{"slot_id": SLOT, "units": 10**4000}]}, "/lines/0/units"),
        ({"name": "a", "lines": [{"slot_id": SLOT}]}, "/lines/0/units"),
        ({"name": "a", "lines": [{"slot_id": "1", "units": 1}]}, "/lines/0/slot_id"),
        ({"name": "a", "colour": 1}, "/colour"),
        ({"name": "a", "a/b~c": 1}, "/a~1b~0c"),
        ({"lines": []}, "/name"),
        ({"name": ""}, "/name"),
        ({"name": "a\x00b"}, "/name"),
        ({"name": "a", "starts_at": "2030-01-01T20:00:00"}, "/starts_at"),
        ({"name": "a", "starts_at": 0}, "/starts_at"),
        ({"name": "a", "starts_at": "9999-12-31T23:59:59-01:00"}, "/starts_at"),
        ({"name": "a", "starts_at": "0001-01-01T00:00:00+23:00"}, "/starts_at"),
        ({"name": "a", "starts_at": "1969-12-31T23:59:59Z"}, "/starts_at"),
        ({"name": "a", "starts_at": "2200-01-01T00:00:00Z"}, "/starts_at"),
        ([], ""),
        (None, ""),
    ],
)
async def test_json_that_is_not_the_documented_body_is_named_with_a_pointer(tiny, body, pointer):
    answer = await tiny.post("/v1/things", content=json.dumps(body), headers=JSON)
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["type"] == "/problems/invalid-request"
    assert [error["pointer"] for error in problem["errors"]] == [pointer]
    assert problem["errors"][0]["detail"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"name": "a",}',
        b'{"name": "a"}{',
        b'{"name": NaN}',
        b'{"name": "\xff"}',
        b'{"name": "\\ud800"}',
        b'{"name": "a\x00"}',
        b"\xef\xbb\xbf{}",
        b'{"unknown": 1',
        b'{"unknown": ' + b"[" * 100_000,
        b"[" * 1_000_000,
        b'{"lines": [{"lines": ' * 20_000,
    ],
)
async def test_what_is_no_json_at_all_is_malformed(tiny, body):
    answer = await send(tiny, body)
    assert answer.status_code == 400
    assert answer.json()["type"] == "/problems/malformed-json"


async def test_an_escaped_backslash_before_u0000_is_no_nul(tiny):
    answer = await send(tiny, r'{"name": "a\\u0000b"}')
    assert answer.status_code == 201
    assert answer.json()["name"] == "a\\u0000b"


async def test_a_body_beyond_one_mebibyte_is_refused(tiny):
    answer = await send(tiny, b'{"name": "' + b"a" * 2 * 1024 * 1024)
    assert answer.status_code == 413
    assert answer.json()["type"] == "/problems/content-too-large"


async def test_a_body_beyond_one_mebibyte_is_refused_also_without_its_length(tiny):
    async def chunks():
        for _ in range(32):
            yield b"a" * 65536

    answer = await tiny.post("/v1/things", content=chunks(), headers=JSON)
    assert "content-length" not in answer.request.headers
    assert answer.status_code == 413


@asynccontextmanager
async def announced(tiny, length: int, sent: bytes = b"") -> AsyncIterator[tuple]:
    """A connection on which a body was announced, and not sent unless together with that."""
    url = httpx.URL(tiny.base_url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    head = ["POST /v1/things HTTP/1.1", "Host: here", "Content-Type: application/json"]
    writer.write("\r\n".join([*head, f"Content-Length: {length}", "", ""]).encode() + sent)
    try:
        async with asyncio.timeout(10):
            yield reader, writer
    finally:
        writer.close()


async def test_a_body_announced_as_too_large_is_refused_before_it_is_sent(tiny):
    async with announced(tiny, 99_999_999) as (reader, _):
        head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 ")


async def test_a_body_that_never_comes_is_given_up_and_its_connection_ended(tiny, monkeypatch):
    monkeypatch.setattr(requests, "BODY_WAIT_S", 0.1)
    async with announced(tiny, 12) as (reader, _):
        answer = await reader.read()  # until the end of the connection
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"/problems/request-timeout" in answer


async def test_half_a_body_is_given_up_like_none(tiny, monkeypatch):
    monkeypatch.setattr(requests, "BODY_WAIT_S", 0.1)
    async with announced(tiny, 12) as (reader, writer):
        writer.write(b'{"name"')
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_a_body_that_comes_after_its_head_is_waited_for(tiny):
    async with announced(tiny, 12) as (reader, writer):
        await tiny.get("/v1/whoami")  # by now the head was read
        writer.write(b'{"name":"a"}')
        head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 201 ")


async def test_a_body_that_came_with_its_head_is_read_without_a_timer(tiny, monkeypatch):
    monkeypatch.setattr(requests, "BODY_WAIT_S", "no time at all")
    async with announced(tiny, 12, sent=b'{"name":"a"}') as (reader, _):
        head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 201 ")


async def test_a_body_of_one_mebibyte_is_read(tiny):
    wanted = 1024 * 1024
    body = b'{"name": "a", "lines": []' + b" " * (wanted - 26) + b"}"
    assert len(body) == wanted
    assert (await send(tiny, body)).status_code == 201
    assert (await send(tiny, body + b" ")).status_code == 413


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "json"])
async def test_another_media_type_is_refused(tiny, kind):
    answer = await tiny.post("/v1/things", content=b'{"name":"a"}', headers={"content-type": kind})
    assert answer.status_code == 415
    assert answer.json()["type"] == "/problems/unsupported-media-type"


@pytest.mark.parametrize(
    "kind",
    ["application/json; charset=utf-8", "Application/JSON", 'application/json;charset="UTF-8"'],
)
async def test_json_may_say_that_it_is_utf_8(tiny, kind):
    answer = await tiny.post("/v1/things", content=b'{"name":"a"}', headers={"content-type": kind})
    assert answer.status_code == 201


async def test_an_encoded_body_is_refused_and_told_what_is_taken(tiny):
    plain = b'{"name":"a"}'
    for body in (plain, gzip.compress(plain)):
        answer = await send(tiny, body, **{"content-encoding": "gzip"})
        assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "identity")
        assert answer.json()["type"] == "/problems/unsupported-media-type"
    answer = await send(tiny, plain, **{"content-encoding": "identity"})
    assert answer.status_code == 201


async def test_where_every_member_is_optional_no_body_is_a_body(tiny):
    path = f"/v1/things/{THING}/touch"
    assert (await tiny.post(path)).status_code == 200
    assert (await tiny.post(path, json={})).status_code == 200
    assert (await tiny.post(path, json={"a": 1})).status_code == 422


async def test_errors_are_judged_in_the_documented_order(tiny):
    """413, 415, 400, 422: mending one thing after the other, a client meets them in this order."""
    wrong = b'{"name": 1}'
    path = "/v1/things?unknown=1"
    plain = {"content-type": "text/plain", "colour": "green"}
    huge = wrong + b" " * 1024 * 1024
    assert (await tiny.post(path, content=huge, headers=plain)).status_code == 413
    assert (await tiny.post(path, content=wrong, headers=plain)).status_code == 415
    mended = {**plain, **JSON}
    answer = await tiny.post(path, content=wrong, headers=mended)
    assert answer.json()["type"] == "/problems/invalid-parameter"
    answer = await tiny.post("/v1/things", content=wrong, headers=mended)
    assert answer.json()["type"] == "/problems/invalid-header"
    answer = await tiny.post("/v1/things", content=wrong, headers={**JSON, "colour": "red"})
    assert answer.status_code == 422


async def test_half_a_body_does_not_pass_for_a_short_one():
    """A client that goes away while sending has not sent `{}`."""
    app = http_app(tiny_part(), environment="development")
    messages = [{"type": "http.disconnect"}]
    sent = []

    async def receive():
        return messages.pop(0)

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": f"/v1/things/{THING}/touch",
        "query_string": b"",
        "headers": [(b"content-length", b"2"), (b"content-type", b"application/json")],
    }
    await app(scope, receive, send)
    assert sent[0]["status"] == 400


async def test_a_body_read_after_its_client_has_gone_is_no_defect(monkeypatch):
    """The connection is gone by then, and with it what knew whether the body had come."""
    begun, gone, read = asyncio.Event(), asyncio.Event(), []
    lose = one_write.OneWriteProtocol.connection_lost

    def lost(protocol, error):
        lose(protocol, error)
        gone.set()

    monkeypatch.setattr(one_write.OneWriteProtocol, "connection_lost", lost)

    @post("/v1/late")
    async def read_late(request: StrictRequest) -> Answer:
        """Look at the body when nobody waits any more."""
        begun.set()
        await gone.wait()
        try:
            read.append(await request.body())
        except Problem as problem:
            read.append(problem.slug)
        return Answer(200, b"{}")

    app = http_app(tiny_part(), Part(name="late", handlers=[read_late]), environment="development")
    async with served(app) as client, asyncio.timeout(10):
        _, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        writer.write(b"POST /v1/late HTTP/1.1\r\nHost: tiny\r\nContent-Length: 2\r\n\r\n{}")
        await begun.wait()
        writer.transport.abort()
        await eventually(lambda: read == ["malformed-json"])
