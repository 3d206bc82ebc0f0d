"""When a consumer of the stream is gone, and when it is only quiet.

The broker sends its idle heartbeat only while there is nothing else to send, and a pull of 500 is
asked for again only when half of it has come: with a few events a second neither happens for long.
"""

import asyncio
import signal
from collections.abc import AsyncIterator

import pytest
from eventually import eventually

from booking.edge.ending import end
from projector.consumer import stream as consuming
from projector.consumer.metrics import ConsumerMetrics
from projector.consumer.stream import Stream

EVENTS = 80
PAUSE_S = 0.05
"""Between two events: 80 of them take longer than two silences, and are less than half a pull."""


@pytest.fixture
async def listening(fresh_nats, monkeypatch) -> AsyncIterator[Stream]:
    """Consumes, and gives a silent consumer up sooner than the product does."""
    monkeypatch.setattr(consuming, "SILENT_S", 1.8)
    metrics = ConsumerMetrics()
    stream = Stream(fresh_nats.url, name="p", start_after=lambda: 0, metrics=metrics)
    stream.wanted.set()
    running = asyncio.create_task(stream.run())
    yield stream
    await end(running)


def consumers_made(listening: Stream) -> float:
    return listening._metrics.consumers._value.get()


async def test_one_consumer_lasts_through_a_trickle(log, stream, listening):
    slot_id = await log.slot(capacity=EVENTS)
    for _ in range(EVENTS):
        await stream.copy()
        await asyncio.sleep(PAUSE_S)  # polls: the pace of the events is the point
        await log.hold(slot_id)
    await eventually(lambda: len(listening.arrived) == EVENTS)
    assert consumers_made(listening) == 1


async def test_a_consumer_that_is_gone_without_a_word_is_made_anew(
    log, stream, listening, fresh_nats
):
    await log.slot()
    await stream.copy()
    await eventually(lambda: listening.arrived)
    # With it goes the consumer, which lived in its memory only.
    await fresh_nats.child.stop(signal.SIGKILL)
    await fresh_nats.start()
    await eventually(lambda: consumers_made(listening) == 2, within_s=20)
    await log.slot()
    await stream.copy()
    await eventually(lambda: listening.arrived[-1].position == 2)
