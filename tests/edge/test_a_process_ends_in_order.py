"""How a process starts, and how it ends: what it promised first, nothing left hanging, the right code."""

import asyncio
import os
import signal
import socket
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from eventually import eventually
from httpx_sse import aconnect_sse
from plain_http import plain_http

from booking.edge.failures import Misconfigured
from booking.edge.serving import bind, url_of

SCRIPT = str(Path(__file__).parent / "a_tiny_process.py")


@asynccontextmanager
async def process(*arguments: str, **environ: str):
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        SCRIPT,
        *arguments,
        env={**os.environ, **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.communicate()


async def line_of(started) -> str:
    async with asyncio.timeout(15):
        return (await started.stdout.readline()).decode().strip()


async def end_of(started) -> tuple[int, str, str]:
    async with asyncio.timeout(10):
        out, err = await started.communicate()
    return started.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stream_ends_with_bye_and_the_process_with_zero(number):
    async with process() as tiny, plain_http(await line_of(tiny)) as client:
        async with aconnect_sse(client, "GET", "/v1/stream", timeout=10) as stream:
            events = stream.aiter_sse()
            assert (await anext(events)).event == "snapshot"
            tiny.send_signal(number)
            assert [event.event async for event in events] == ["bye"]
        code, out, err = await end_of(tiny)
        assert code == 0
        assert "streams closed: 1" in out
        assert "Traceback" not in err


async def test_a_request_in_flight_is_answered_before_the_end():
    async with process() as tiny, plain_http(await line_of(tiny)) as client:
        asking = asyncio.create_task(client.get("/v1/slow", timeout=10))
        assert await line_of(tiny) == "slow is in flight"
        tiny.terminate()
        assert (await asking).json() == {"finished": True}
        assert (await end_of(tiny))[0] == 0


async def test_a_request_that_never_ends_is_cut_off():
    async with process() as tiny, plain_http(await line_of(tiny)) as client:
        asking = asyncio.create_task(client.get("/v1/stuck", timeout=10))
        assert await line_of(tiny) == "stuck is in flight"
        tiny.terminate()
        assert (await end_of(tiny))[0] == 0
        await asyncio.gather(asking, return_exceptions=True)


async def test_a_misconfiguration_is_one_sentence_and_exit_code_two():
    async with process("misconfigured") as tiny:
        assert await end_of(tiny) == (2, "", "BOOKING_PORT is 'x': expected int.\n")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
async def test_a_child_ends_with_its_parent_also_when_that_is_killed():
    async with process("with-child") as parent:
        child = int(await line_of(parent))
        assert (await line_of(parent)).startswith("http://")
        parent.kill()
        await parent.wait()
        await eventually(lambda: not Path(f"/proc/{child}").exists() or _is_dead(child), within_s=5)


async def test_a_child_whose_parent_is_gone_already_does_not_start():
    async with process(BOOKING_PARENT_PID="1234567") as orphan:
        assert await end_of(orphan) == (0, "", "")


def _is_dead(pid: int) -> bool:
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True


def test_a_taken_port_is_named_with_its_setting():
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Misconfigured, match=rf"{port}.*BOOKING_PORT"):
            bind("127.0.0.1", port)
        with pytest.raises(Misconfigured, match="PROJECTOR_METRICS_PORT"):
            bind("127.0.0.1", port, variable="PROJECTOR_METRICS_PORT")


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1", "a b", "\u00fc" * 80])
def test_a_host_that_is_not_ours_is_named_with_its_setting(host):
    with pytest.raises(Misconfigured, match="BOOKING_HOST"):
        bind(host, 0)


@pytest.mark.parametrize("environment", ["development", "laboratory"])
def test_where_nobody_needs_a_key_only_loopback_is_served(environment):
    for everywhere in ("0.0.0.0", "::"):  # noqa: S104 - to be refused
        with pytest.raises(Misconfigured, match=r"BOOKING_HOST.*loopback"):
            bind(everywhere, 0, environment=environment)
    for loopback in ("127.0.0.1", "localhost", "127.0.0.5"):
        bind(loopback, 0, environment=environment).close()


def test_a_socket_on_every_address_is_shown_as_loopback():
    with bind("0.0.0.0", 0) as bound:  # noqa: S104 - closed at once, never served
        assert url_of(bound) == f"http://127.0.0.1:{bound.getsockname()[1]}"


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_an_ipv6_address_is_shown_in_brackets():
    try:
        bound = bind("::1", 0)
    except Misconfigured:
        pytest.skip("no IPv6 loopback here")
    with bound:
        assert url_of(bound).startswith("http://[::1]:")
