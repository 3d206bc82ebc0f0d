"""What the driver says about a request is never more than is known, and its load does not wait for the system."""

import asyncio
import random
import socket
import time
from collections import Counter

import pytest
from eventually import eventually

from loadtest.driver import Client, RequestWriter, closed_loop, open_loop, poisson
from loadtest.driver.event_stream import events
from loadtest.driver.percentile import percentile
from loadtest.failures import CannotRunError

seeded = random.Random


async def test_an_answer_comes_back_whole_with_its_status_headers_and_body(echo):
    async with Client(echo.url) as client:
        exchange = await client.request("POST", "/v1/bookings", body=b"{}")
    assert (exchange.outcome, exchange.status, exchange.body) == ("ok", 200, echo.body)
    assert exchange.header(b"server-timing") == b"lag;dur=12.3, wait;dur=0.4"
    assert exchange.invoke_ns <= exchange.return_ns


@pytest.mark.parametrize(
    ("method", "status", "outcome"),
    [
        ("POST", 201, "ok"),
        ("POST", 409, "failed"),
        ("POST", 422, "failed"),
        ("POST", 503, "failed"),
        ("POST", 500, "indeterminate"),
        ("GET", 500, "failed"),
    ],
)
async def test_only_what_is_known_is_claimed(echo, method, status, outcome):
    async with Client(echo.url) as client:
        assert (await client.request(method, f"/status/{status}")).outcome == outcome


async def test_a_503_that_admits_it_may_have_happened_is_indeterminate(echo):
    echo.body = b'{"type":"/problems/database-unavailable","outcome":"may-have-happened"}'
    async with Client(echo.url) as client:
        assert (await client.request("POST", "/status/503")).outcome == "indeterminate"


async def test_a_booking_that_is_not_answered_in_time_may_have_happened(echo):
    async with Client(echo.url, timeout_s=0.1) as client:
        exchange = await client.request("POST", "/slow")
        assert (exchange.outcome, exchange.status) == ("indeterminate", 0)


@pytest.mark.parametrize("path", ["/hangup", "/torn"])
async def test_a_booking_whose_answer_is_cut_off_may_have_happened(echo, path):
    async with Client(echo.url) as client:
        exchange = await client.request("POST", path)
    assert exchange.outcome == "indeterminate" or exchange.status == 500


async def test_a_booking_that_could_not_be_sent_did_not_happen():
    with socket.create_server(("127.0.0.1", 0)) as unused:
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    async with Client(url) as client:
        assert (await client.request("POST", "/v1/bookings")).outcome == "failed"


async def test_who_waits_for_a_connection_that_is_refused_is_told_like_who_asked_first():
    with socket.socket() as nobody_listens:
        nobody_listens.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody_listens.getsockname()[1]}"
        async with Client(url, connections_max=1, timeout_s=60) as client, asyncio.timeout(20):
            asked = [client.request("POST", "/v1/bookings") for _ in range(5)]
            exchanges = await asyncio.gather(*asked)
    assert {exchange.outcome for exchange in exchanges} == {"failed"}


async def test_connections_are_kept_and_reused(echo):
    async with Client(echo.url) as client:
        for _ in range(20):
            await client.request("GET", "/")
    assert len(echo.connections) == 1


async def test_no_more_connections_are_opened_than_allowed_and_everybody_is_served(echo):
    async with Client(echo.url, connections_max=3) as client:
        exchanges = await asyncio.gather(*[client.request("GET", "/") for _ in range(50)])
    assert [e.outcome for e in exchanges] == ["ok"] * 50
    assert len(echo.connections) <= 3


async def test_who_never_got_a_connection_certainly_did_nothing(echo):
    async with Client(echo.url, connections_max=1, timeout_s=0.2) as client:
        exchanges = await asyncio.gather(*[client.request("POST", "/slow") for _ in range(10)])
    outcomes = Counter(exchange.outcome for exchange in exchanges)
    # One was asked; a second one perhaps, where the first was given up a moment before the others.
    assert outcomes == {"indeterminate": len(echo.asked), "failed": 10 - len(echo.asked)}
    assert outcomes["failed"] > 0


async def test_people_arrive_while_the_system_stands_still(echo):
    """The difference between open and closed loop in one picture: nobody is answered, and still everybody comes."""
    async with Client(echo.url, connections_max=64) as client:

        async def visit(number: int, intended_ns: int) -> None:
            await client.request("GET", "/slow")

        arrivals_s = (n * 0.005 for n in range(1000))
        loop = asyncio.create_task(open_loop(arrivals_s, visit, seconds=0.2))
        await eventually(lambda: len(echo.asked) >= 40)
        echo.release.set()
        offered = await loop
    assert offered.count == 40
    assert offered.dropped == 0


async def test_the_bound_on_people_inside_is_kept_and_those_sent_away_are_counted():
    gate = asyncio.Event()

    async def visit(number: int, intended_ns: int) -> None:
        await gate.wait()

    moments_s = (n * 0.001 for n in range(100))
    loop = asyncio.create_task(open_loop(moments_s, visit, seconds=0.05, in_flight_max=10))
    asyncio.get_running_loop().call_later(0.2, gate.set)
    offered = await loop
    assert (offered.count, offered.dropped) == (50, 40)


async def test_a_visit_that_fails_ends_the_experiment():
    async def visit(number: int, intended_ns: int) -> None:
        raise ValueError(number)

    with pytest.raises(ValueError, match="0"):
        await open_loop(poisson(1000, seeded(1)), visit, seconds=0.05)


async def test_latency_counts_from_the_intended_moment():
    lateness_s = []

    async def visit(number: int, intended_ns: int) -> None:
        if number == 0:
            until_s = time.monotonic() + 0.05
            while time.monotonic() < until_s:  # the generator itself is held up
                pass
        lateness_s.append((time.monotonic_ns() - intended_ns) / 1e9)

    offered = await open_loop(iter([0.0, 0.01, 0.02]), visit, seconds=1)
    assert lateness_s[1] > 0.03
    assert offered.percentile_ms(100) > 30


def test_the_same_seed_gives_the_same_arrivals_at_the_rate_asked_for():
    first, again = poisson(500, seeded(7)), poisson(500, seeded(7))
    moments = [next(first) for _ in range(10_000)]
    assert moments == [next(again) for _ in range(10_000)]
    assert moments[-1] == pytest.approx(20, rel=0.05)


async def test_a_closed_loop_keeps_its_connections_busy_and_counts_every_answer(echo):
    write = RequestWriter(echo.url)
    seen = []
    totals = await closed_loop(
        echo.url,
        connections=4,
        seconds=0.3,
        next_request=lambda number: write("POST", f"/{number}", b"{}"),
        on_answer=lambda number, answer: seen.append((number, answer.body)),
    )
    assert totals.unanswered == 0
    assert totals.statuses == {200: len(echo.asked)}
    assert sorted(seen) == [(number, echo.body) for number in range(len(echo.asked))]
    assert len(echo.connections) == 4
    assert totals.percentile_ms(50) > 0


async def test_a_closed_loop_whose_answers_nobody_wants_counts_them_all_the_same(echo):
    write = RequestWriter(echo.url)
    totals = await closed_loop(
        echo.url,
        connections=4,
        seconds=0.3,
        next_request=lambda number: write("POST", f"/{number}", b"{}"),
    )
    assert totals.unanswered == 0
    assert totals.statuses == {200: len(echo.asked)}
    assert len(totals.latencies_ms) == len(echo.asked)
    assert len(echo.connections) == 4


async def test_a_closed_loop_counts_what_was_never_answered(echo):
    write = RequestWriter(echo.url)
    totals = await closed_loop(
        echo.url, connections=2, seconds=0.1, next_request=lambda _: write("GET", "/torn")
    )
    assert totals.unanswered == 2
    assert totals.statuses.total() == 0


async def test_a_stream_that_cannot_be_followed_is_told_in_a_sentence(echo):
    async def follow(url: str, path: str) -> None:
        async for _ in events(url, path, silence_max_s=0.05):
            pass

    with socket.create_server(("127.0.0.1", 0)) as unused:
        nobody = f"http://127.0.0.1:{unused.getsockname()[1]}"
    for url, path, said in [
        (nobody, "/", "broke off"),
        (echo.url, "/status/404", "answered 404"),
        (echo.url, "/slow", "silent"),
    ]:
        with pytest.raises(CannotRunError, match=said):
            await follow(url, path)


def test_percentiles_are_exact():
    assert percentile([], 50) == 0
    assert percentile([3, 1, 2], 50) == 2
    assert percentile(range(1, 101), 99) == 99
    assert percentile([5], 99) == 5


def test_an_address_that_cannot_be_loaded_is_refused_with_the_remedy():
    with pytest.raises(CannotRunError, match="http://host:port"):
        RequestWriter("https://example.org")
