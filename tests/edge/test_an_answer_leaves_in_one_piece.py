"""Answers that are written in one step are the same answers, and whatever is out of the ordinary is left to the server."""

import asyncio
import gc

import pytest
from a_tiny_part import THING, Streams, served, tiny_part
from eventually import eventually
from litestar import get

from booking.edge.answers import Answer
from booking.edge.application import http_app
from booking.edge.one_write import OneWriteProtocol
from booking.edge.parts import Part
from booking.edge.requests import StrictRequest

SHOW = f"GET /v1/things/{THING}?limit=%d HTTP/1.1\r\nHost: tiny\r\n%s\r\n"


async def said(client, request, *, until):
    """What comes back over one connection until `until` bytes-test is true or it is closed."""
    reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    writer.write(request.encode())
    answer = b""
    async with asyncio.timeout(10):
        while not until(answer) and (more := await reader.read(65536)):
            answer += more
        closed = until(answer) is False or reader.at_eof()
    writer.close()
    return answer.decode(), closed


@pytest.fixture
def uncollected():
    """How many connections of the server are in memory, while nobody collects any."""
    gc.collect()
    gc.disable()
    yield lambda: sum(isinstance(each, OneWriteProtocol) for each in gc.get_objects())
    gc.enable()


def bodies(answer, *limits):
    return [answer.index(f'"limit":{limit},') for limit in limits]


async def test_an_answer_has_its_head_its_length_and_its_body(tiny):
    answer, _ = await said(tiny, SHOW % (7, ""), until=lambda a: a.endswith(b"}"))
    head, _, body = answer.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 OK\r\n")
    assert "\r\ncontent-type: application/json\r\n" in head
    assert f"content-length: {len(body)}" in head
    assert "\r\ndate: " in head
    assert body == '{"limit":7,"slots":[]}'


async def test_requests_sent_without_waiting_are_answered_in_their_order(tiny):
    together = "".join(SHOW % (limit, "") for limit in (1, 2, 3, 4))
    answer, _ = await said(tiny, together, until=lambda a: a.count(b"slots") == 4)
    assert answer.count("HTTP/1.1 200 OK") == 4
    places = bodies(answer, 1, 2, 3, 4)
    assert places == sorted(places)


async def test_a_connection_that_is_to_end_ends_after_its_answer(tiny):
    answer, closed = await said(tiny, SHOW % (7, "Connection: close\r\n"), until=lambda _: False)
    assert "connection: close" in answer
    assert answer.endswith('"slots":[]}')
    assert closed


async def test_head_says_what_get_says_without_the_body(tiny):
    shown = await tiny.get(f"/v1/things/{THING}")
    head = await tiny.head(f"/v1/things/{THING}")
    assert head.content == b""
    assert {**head.headers, "date": ""} == {**shown.headers, "date": ""}


async def test_a_line_break_in_a_header_never_becomes_another_header():
    @get("/v1/broken")
    async def broken(request: StrictRequest) -> Answer:
        """Say more than was meant."""
        return Answer(200, b"{}", [(b"location", b"/here\r\nevil: yes")])

    async with served(
        http_app(tiny_part(), Part(name="broken", handlers=[broken]), environment="development")
    ) as client:
        answer, _ = await said(
            client, "GET /v1/broken HTTP/1.1\r\nHost: tiny\r\n\r\n", until=lambda _: False
        )
    assert "evil" not in answer


@pytest.mark.parametrize(
    "request_",
    [
        SHOW % (7, ""),
        SHOW % (7, "Connection: close\r\n"),
        "".join(SHOW % (limit, "") for limit in (1, 2, 3)),
        "GET /v1/nowhere HTTP/1.1\r\nHost: tiny\r\n\r\n",
        "POST /v1/things HTTP/1.1\r\nHost: tiny\r\nContent-Length: 9\r\n\r\n{",
        "no HTTP at all\r\n\r\n",
        "",
    ],
)
async def test_a_connection_that_has_ended_is_gone_without_the_collector(
    tiny, uncollected, request_
):
    """It comes round rarely in a busy process, and connections that outlived its quick rounds piled up."""
    host, port = tiny.base_url.host, tiny.base_url.port
    before = uncollected()
    for abruptly in (False, True):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(request_.encode())
        await eventually(lambda: uncollected() > before)
        if request_.endswith("\r\n\r\n"):
            assert await reader.read(1)
        if abruptly:
            writer.transport.abort()
        else:
            writer.close()
        del reader, writer
        await eventually(lambda: uncollected() <= before, because="the connection is gone")


async def test_so_is_one_whose_client_did_not_wait_for_the_answer(uncollected):
    begun, go_on = asyncio.Event(), asyncio.Event()

    @get("/v1/slow")
    async def slow(request: StrictRequest) -> Answer:
        """Answer when told to."""
        begun.set()
        await go_on.wait()
        return Answer(200, b"{}")

    async with served(
        http_app(tiny_part(), Part(name="slow", handlers=[slow]), environment="development")
    ) as client:
        before = uncollected()
        _, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        writer.write(b"GET /v1/slow HTTP/1.1\r\nHost: tiny\r\n\r\n")
        await begun.wait()
        writer.transport.abort()
        del writer
        go_on.set()
        await eventually(lambda: uncollected() <= before, because="the connection is gone")


async def test_a_stream_learns_that_its_client_has_gone_although_another_request_was_sent():
    streams = Streams()
    together = "GET /v1/stream HTTP/1.1\r\nHost: tiny\r\n\r\n" + SHOW % (7, "")
    async with served(http_app(tiny_part(), streams.part(), environment="development")) as client:
        reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        writer.write(together.encode())
        assert await reader.read(1)
        writer.close()
        await eventually(lambda: streams.closed == 1, because="the stream has ended")
