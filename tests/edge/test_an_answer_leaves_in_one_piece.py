"""Answers that are written in one step are the same answers, and whatever is out of the ordinary is left to the server."""

import asyncio

from a_tiny_part import THING, served, tiny_part
from litestar import get

from booking.edge.answers import Answer
from booking.edge.application import http_app
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
