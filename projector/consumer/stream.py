"""What arrives from NATS: events of the stream and the relay's heartbeats.

Nothing here is trusted or kept: the consumer is ephemeral, starts after the checkpoint and
acknowledges nothing, so on any doubt it is thrown away and made anew. The pull loop is our own,
because the driver's `fetch` stalls and its ordered consumer can hang without a word.
"""

import asyncio
import contextlib
import itertools
import time
from collections import deque
from collections.abc import Callable

import msgspec
import nats.errors
import nats.js.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from booking.events.messages import Heartbeat
from booking.events.subjects import LOG_HEAD, STREAM
from projector.consumer.metrics import ConsumerMetrics
from projector.consumer.order import Arrival
from projector.consumer.straight import StraightClient
from projector.nats_connection import connect, pause_after

PULL = 500
"""Messages asked for at a time; asked again when half have come."""
ARRIVED_MAX = 20_000
"""No more is pulled while this much waits: 20,000 events of some 600 bytes are 12 MB."""
HEARTBEATS_MAX = 16_000
"""Each is kept until it is as old as the injected lag, ten minutes at most: that is 6,000 of ten a
second, the pace of a relay, and 15,000 of 25 a second."""
SILENT_S = 3.5
"""Pulls carry an idle heartbeat of 1 s, sent when there is no event to send; three missed ones mean that
the consumer is gone."""
RETRY_S = 0.5
"""Between two consumers; also how often the end of a connection is looked for while none is wanted."""

_log = structlog.get_logger(__name__)


class ConsumerGone(Exception):
    """The consumer answers no more, or says that it has ended."""


class Stream:
    """Fills `arrived` and `heartbeats` and sets `something` whenever there is more.

    `start_after` tells where a new consumer continues. There is one only while `wanted` is set, or
    seconds longer: who stands by, rebuilds or has given up costs the broker nothing. It goes on while
    the log fills a gap or a silence: what it sends of that is dropped by its number, which costs less
    than another consumer each time; beyond ARRIVED_MAX no more is pulled.
    """

    def __init__(
        self, url: str, *, name: str, start_after: Callable[[], int], metrics: ConsumerMetrics
    ) -> None:
        self.arrived: deque[Arrival] = deque()
        self.heartbeats: deque[Heartbeat] = deque(maxlen=HEARTBEATS_MAX)
        self.something = asyncio.Event()
        self.wanted = asyncio.Event()
        self.client: Client | None = None
        self._url = url
        self._name = name
        self._start_after = start_after
        self._metrics = metrics
        self._outstanding = 0
        self._heard_at = 0.0
        self._ended: Exception | None = None
        self._pull_on = asyncio.Event()
        self._heartbeat = msgspec.json.Decoder(Heartbeat)

    async def last_sequence(self) -> int | None:
        """The stream's last sequence; None when it cannot be asked."""
        if self.client is None or not self.client.is_connected:
            return None
        try:
            info = await self.client.jetstream(timeout=1.0).stream_info(STREAM)
        except (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError):
            return None
        return info.state.last_seq

    async def run(self) -> None:
        """Keep consuming until cancelled, whatever happens to the broker."""
        for times_closed in itertools.count():
            self.client = await connect(
                self._url,
                name=self._name,
                reconnected=self._metrics.reconnects.inc,
                client=StraightClient(self._take),
            )
            if times_closed:
                self._metrics.reconnects.inc()
            client = self.client
            try:
                with contextlib.suppress(nats.errors.ConnectionClosedError):
                    await client.subscribe(LOG_HEAD, cb=self._hear)
                while not client.is_closed:
                    await self._consume_while_wanted(client)
            finally:
                self.client = None
                with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
                    await client.close()
            await pause_after(client)

    async def _consume_while_wanted(self, client: Client) -> None:
        """Consume as long as it is wanted and goes well; then, or when it is not, a moment passes."""
        try:
            async with asyncio.timeout(RETRY_S):
                await self.wanted.wait()
        except TimeoutError:
            return
        try:
            await self._consume(client)
        except (
            ConsumerGone,
            nats.errors.Error,
            nats.js.errors.Error,
            OSError,
            TimeoutError,
        ) as error:
            _log.info("stream_interrupted", reason=str(error) or type(error).__name__)
            await asyncio.sleep(RETRY_S)

    async def _hear(self, message: Msg) -> None:
        with contextlib.suppress(msgspec.DecodeError):
            self.heartbeats.append(self._heartbeat.decode(message.data))
            self.something.set()

    async def _consume(self, client: Client) -> None:
        """One ephemeral consumer, until it ends or nothing is wanted."""
        consumer = await client.jetstream(timeout=2.0).add_consumer(
            STREAM,
            config=ConsumerConfig(
                ack_policy=AckPolicy.NONE,
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=self._start_after() + 1,
                mem_storage=True,
                inactive_threshold=30,
            ),
        )
        self._metrics.consumers.inc()
        self._outstanding, self._ended = 0, None
        inbox = client.new_inbox()
        pulls = await client.subscribe(inbox, cb=self._hear_of_the_pull)
        request = msgspec.json.encode(
            {"batch": PULL, "expires": 30_000_000_000, "idle_heartbeat": 1_000_000_000}
        )
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{consumer.name}"
        try:
            while self._ended is None and self.wanted.is_set():
                self._pull_on.clear()
                if len(self.arrived) >= ARRIVED_MAX:
                    await asyncio.sleep(0.01)  # the read model is behind; the stream keeps the rest
                    continue
                if self._outstanding <= PULL // 2:
                    await client.publish(subject, request, reply=inbox)
                    self._outstanding += PULL
                    self._heard_at = time.monotonic()  # before, there was nothing to be heard
                await self._hear_more()
            if self._ended is not None:
                raise self._ended
        finally:
            with contextlib.suppress(nats.errors.Error, OSError):
                await pulls.unsubscribe()

    async def _hear_more(self) -> None:
        """Wait until there is a reason to look again, at most until it would have been silent for too long."""
        left_s = self._heard_at + SILENT_S - time.monotonic()
        if left_s <= 0:
            raise ConsumerGone("silent for longer than its idle heartbeat")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(left_s):
                await self._pull_on.wait()

    def _take(self, reply: bytes, payload: bytes) -> None:
        """An event."""
        self._heard_at = time.monotonic()
        self.arrived.append(Arrival(_stream_sequence(reply), payload))
        self._outstanding -= 1
        self.something.set()
        if self._outstanding <= PULL // 2:
            self._pull_on.set()

    async def _hear_of_the_pull(self, message: Msg) -> None:
        """A word about the pull itself."""
        self._heard_at = time.monotonic()
        headers = message.headers or {}
        status = headers.get("Status", "")
        if status in ("404", "408"):  # this pull is over; ask again
            self._outstanding -= int(headers.get("Nats-Pending-Messages", PULL))
        elif status != "100":
            self._ended = ConsumerGone(f"{status} {headers.get('Description', '')}".strip())
        self._pull_on.set()


def _stream_sequence(reply: bytes) -> int:
    """From `$JS.ACK.<stream>.<consumer>.<delivered>.<stream sequence>...`, or its longer form."""
    tokens = reply.split(b".")
    return int(tokens[5] if len(tokens) == 9 else tokens[7])
