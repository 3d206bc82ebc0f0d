"""What a query node takes: memory per slot held and per idle stream, measured on a real process.

The figures are printed (`pytest -s`); what is asserted are the bounds that the documentation states.
"""

import asyncio
import gc
import os
import resource
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from a_node import a_node
from eventually import eventually

from booking.events.messages import SlotState
from projector.queries.standing import Standing
from projector.replica.memory import Replica, Told

BYTES_PER_SLOT_MAX = 700
KILOBYTES_PER_STREAM_MAX = 24
FILES = 11_000
STREAMS = 10_000
AT_A_TIME = 250
NOW = datetime.now(UTC)


def a_slot(number: int) -> SlotState:
    return SlotState(
        slot_id=UUID(bytes=os.urandom(16)),
        resource_id=UUID(int=7),
        starts_at=NOW + timedelta(hours=number),
        ends_at=NOW + timedelta(hours=number + 1),
        state="open",
        capacity=10_000 + number,
        overbooking_units=0,
        held=300 + number,
        confirmed=5_000,
        remaining=4_700,
        version=1_000 + number,
    )


def replica_of(number: int) -> Replica:
    replica = Replica(slots_max=number)
    standing = Standing(epoch=uuid4(), generation=1, position=1, as_of=NOW)
    replica.hear(standing, [], previous=0)
    for begin in range(0, number, 1000):
        told = [Told(a_slot(n)) for n in range(begin, min(number, begin + 1000))]
        fill = replica.register([t.slot.slot_id for t in told])
        rows = {t.slot.slot_id: (t, False) for t in told}
        assert replica.fill(fill, standing, rows) == "kept"
        replica.forget(fill)
    assert len(replica) == number
    return replica


def test_a_slot_held_in_memory_takes_what_is_said():
    tracemalloc.start()
    try:
        replica = replica_of(10_000)
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken / len(replica) < BYTES_PER_SLOT_MAX


@pytest.mark.long
@pytest.mark.timeout(120)
def test_a_million_slots_fit_and_are_let_go_of_without_a_pause():
    before = memory_kb(os.getpid())
    replica = replica_of(1_000_000)
    gc.collect()
    per_slot = (memory_kb(os.getpid()) - before) * 1024 / 1_000_000
    print(f"\n{per_slot:.0f} bytes for each of 1,000,000 slots")  # noqa: T201  the figure is what this test is for
    assert per_slot < BYTES_PER_SLOT_MAX
    replica.drop()
    assert len(replica) == 0


def memory_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


class Listener(asyncio.Protocol):
    """A client of one stream, as small as can be."""

    __slots__ = ("heard",)

    def __init__(self) -> None:
        self.heard: dict[bytes, int] = {}

    def data_received(self, data: bytes) -> None:
        if not self.heard and not data.startswith(b"HTTP/1.1 200"):
            self.heard[data[:200]] = 1
        for line in data.split(b"\n"):
            if line.startswith(b"event: "):
                self.heard[line[7:]] = self.heard.get(line[7:], 0) + 1


def told_all(listeners: list[Listener]) -> bool:
    untold = [one.heard for one in listeners[-AT_A_TIME:] if b"snapshot" not in one.heard]
    assert not untold, f"{len(untold)} have no snapshot, the first heard {untold[0]}"
    return True


@pytest.mark.long
@pytest.mark.timeout(240)
async def test_ten_thousand_idle_streams_on_one_node(
    log, stream, projector, database_url, tmp_path
):
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < FILES:
        pytest.skip(f"this system allows {most} open files, {FILES} are needed")
    slot_id = await log.slot(capacity=10)
    await stream.copy()
    async with a_node(database_url, stream.url, tmp_path) as (node, client):
        address = client.base_url.host, client.base_url.port
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        transports, listeners = [], []
        try:
            before_kb = memory_kb(node.pid)
            loop = asyncio.get_running_loop()
            request = f"GET /v1/availability/stream?slot_id={slot_id} HTTP/1.1\r\nHost: t\r\n\r\n"
            for _ in range(0, STREAMS, AT_A_TIME):
                for _ in range(AT_A_TIME):
                    transport, listener = await loop.create_connection(Listener, *address)
                    transport.write(request.encode())
                    transports.append(transport)
                    listeners.append(listener)
                await eventually(
                    lambda: all(b"snapshot" in one.heard for one in listeners[-AT_A_TIME:]),
                    within_s=20,
                )
            for listener in listeners:
                listener.heard.clear()
            await eventually(
                lambda: all(one.heard.get(b"as_of", 0) >= 3 for one in listeners),
                within_s=30,
                every_s=0.5,
                because="every stream is told as_of again and again",
            )
            per_stream = (memory_kb(node.pid) - before_kb) / STREAMS
            print(f"\n{per_stream:.1f} kB for each of {STREAMS:,} streams")  # noqa: T201  the figure is what this test is for
            await log.hold(slot_id)
            await stream.copy()
            await eventually(
                lambda: all(b"changes" in one.heard for one in listeners),
                within_s=30,
                because="one change reaches every stream",
            )
            assert per_stream < KILOBYTES_PER_STREAM_MAX
        finally:
            for transport in transports:
                transport.abort()
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, most))
