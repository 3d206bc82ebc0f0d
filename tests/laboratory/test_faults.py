"""Faults do what they say, to wires and processes that are real, and are undone however an experiment ends."""

import asyncio
import contextlib
import os
import random
import sys
from pathlib import Path

import pytest
from eventually import eventually

from loadtest.driver import Client
from loadtest.faults import Faults, NatsProxy, TcpProxy


def rng() -> random.Random:
    return random.Random(1)  # noqa: S311 -- seeded


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.fixture
async def sleeper():
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import time; time.sleep(60)  # polls: nothing, it is the one that waits",
    )
    yield process
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()


async def test_a_paused_process_stands_still_and_goes_on_when_healed(sleeper):
    async with Faults() as faults:
        faults.pause(sleeper.pid)
        await eventually(lambda: state_of(sleeper.pid) == "T")
        faults.resume(sleeper.pid)
        await eventually(lambda: state_of(sleeper.pid) != "T")
        faults.pause(sleeper.pid)
    await eventually(lambda: state_of(sleeper.pid) != "T")


@pytest.mark.parametrize("ending", [ValueError, asyncio.CancelledError, KeyboardInterrupt])
async def test_every_way_out_heals(sleeper, echo, ending):
    with contextlib.suppress(ending):
        async with Faults() as faults:
            proxy = await faults.tcp_proxy(echo.url, rng=rng())
            proxy.lose_answers = 1.0
            faults.pause(sleeper.pid)
            raise ending
    await eventually(lambda: state_of(sleeper.pid) != "T")
    assert proxy.lose_answers == 0
    async with Client(proxy.url if proxy._listener.sockets else echo.url, timeout_s=1) as client:
        assert (await client.request("GET", "/")).outcome in ("ok", "failed")


async def test_a_process_that_ended_while_paused_is_no_mistake(sleeper):
    async with Faults() as faults:
        faults.pause(sleeper.pid)
        sleeper.kill()
        await sleeper.wait()
    with pytest.raises(ProcessLookupError):
        os.kill(sleeper.pid, 0)


async def test_a_lost_answer_was_asked_for_carried_out_and_never_heard(echo):
    async with TcpProxy(echo.url, rng=rng()) as proxy, Client(proxy.url) as client:
        assert (await client.request("POST", "/status/201")).outcome == "ok"
        proxy.lose_answers = 1.0
        lost = await client.request("POST", "/status/201")
        assert (lost.outcome, lost.status) == ("indeterminate", 0)
        assert proxy.lost == 1
        proxy.heal()
        assert (await client.request("POST", "/status/201")).outcome == "ok"
    assert echo.asked == ["/status/201"] * 3


async def test_about_as_many_answers_are_lost_as_was_said(echo):
    async with TcpProxy(echo.url, rng=rng()) as proxy, Client(proxy.url) as client:
        proxy.lose_answers = 0.05
        outcomes = [(await client.request("POST", "/")).outcome for _ in range(400)]
    assert outcomes.count("indeterminate") == proxy.lost
    assert 5 <= proxy.lost <= 40
    assert len(echo.asked) == 400


async def test_a_slow_wire_is_slow_and_a_cut_one_is_cut(echo):
    async with TcpProxy(echo.url, rng=rng()) as proxy, Client(proxy.url, timeout_s=5) as client:
        proxy.delay_ms = 150
        slow = await client.request("GET", "/")
        assert slow.return_ns - slow.invoke_ns > 140e6
        proxy.heal()
        waiting = asyncio.ensure_future(client.request("POST", "/slow"))
        await eventually(lambda: "/slow" in echo.asked)
        proxy.cut(refuse=True)
        assert (await waiting).outcome == "indeterminate"
        assert (await client.request("GET", "/")).outcome == "failed"
        proxy.heal()
        assert (await client.request("GET", "/")).outcome == "ok"


class FakeServer:
    """Says what a NATS server says: the wire is tested here, a real server is behind it in the scenario of duplicates."""

    def __init__(self) -> None:
        self.heard = b""
        self.say = asyncio.Queue()

    async def serve(self, reader, writer) -> None:
        async def hear() -> None:
            while data := await reader.read(1000):
                self.heard += data

        hearing = asyncio.ensure_future(hear())
        with contextlib.suppress(ConnectionError):
            while said := await self.say.get():
                writer.write(said)
        hearing.cancel()
        writer.close()


def message(number: int, subject: str = "booking.events.e.r.HoldPlaced") -> bytes:
    body = f"event {number:03}".encode()
    return b"MSG %s 1 reply %d\r\n%s\r\n" % (subject.encode(), len(body), body)


async def test_events_come_twice_and_out_of_order_and_nothing_else_is_touched():
    fake = FakeServer()
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    upstream = f"nats://user:word@127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with NatsProxy(upstream, rng=rng()) as proxy:
        assert proxy.url.startswith("nats://user:word@127.0.0.1:")
        proxy.repeat, proxy.shuffle = 1.0, True
        port = int(proxy.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"CONNECT {}\r\n")
        await eventually(lambda: fake.heard == b"CONNECT {}\r\n")
        fake.say.put_nowait(b"INFO {}\r\n" + message(900, "booking.log.head"))
        fake.say.put_nowait(b"".join(message(n) for n in range(20)) + b"PING\r\n")
        said = b""
        async with asyncio.timeout(5):
            while said.count(b"event ") < 41 or b"PING" not in said:
                said += await reader.read(10_000)
        events = [int(part[:3]) for part in said.split(b"event ")[1:]]
        assert events[0] == 900
        assert sorted(events[1:]) == sorted([*range(20), *range(20)])
        assert events[1:] != sorted(events[1:])
        assert (proxy.repeated, proxy.out_of_order > 0) == (20, True)
        proxy.heal()
        fake.say.put_nowait(b"".join(message(n) for n in range(100, 105)))
        said = b""
        async with asyncio.timeout(5):
            while said.count(b"event ") < 5:
                said += await reader.read(10_000)
        assert [int(part[:3]) for part in said.split(b"event ")[1:]] == list(range(100, 105))
        writer.close()
    fake.say.put_nowait(b"")
    server.close()
