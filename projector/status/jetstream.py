"""JetStream's own view, from the monitoring endpoints every NATS server has (`http_port`).

Read from `/jsz`, `/varz` and `/healthz`: what the stream holds, who reads it and how far, and how
many advisories were captured. It needs no login to NATS and works with a server that is not ours.
"""

from collections.abc import Callable
from datetime import datetime

import msgspec
from msgspec import Struct, field

from booking.events.subjects import ADVISORIES, STREAM
from projector.status.fetch import NotTold


class ConsumerView(Struct, frozen=True, kw_only=True):
    """One consumer of the stream; a projector's is ephemeral and acknowledges nothing."""

    name: str
    delivered_seq: int
    pending: int
    """Messages in the stream that it has not been given."""
    unacknowledged: int
    redelivered: int
    waiting: int
    """Pulls that wait for a message."""


class StreamView(Struct, frozen=True, kw_only=True):
    """What the stream holds."""

    messages: int
    bytes: int
    bytes_max: int | None
    first_seq: int
    last_seq: int
    last_at: datetime | None
    holes: int
    """Sequences between first and last that hold no message; the relay mends any."""
    consumers: list[ConsumerView]


class JetStreamView(Struct, frozen=True, kw_only=True):
    """The server and its copy of the log; `stream` is None where there is none yet."""

    version: str
    healthy: bool
    connections: int
    slow_consumers: int
    storage_bytes: int
    api_errors: int
    stream: StreamView | None
    advisories: int | None
    """How many the server keeps of what it said about the stream; None: nobody captures them."""


class _Config(Struct, frozen=True):
    max_bytes: int = -1


class _State(Struct, frozen=True):
    messages: int
    bytes: int
    first_seq: int
    last_seq: int
    last_ts: datetime


class _Delivered(Struct, frozen=True):
    stream_seq: int = 0


class _Consumer(Struct, frozen=True):
    name: str
    delivered: _Delivered = _Delivered()
    num_pending: int = 0
    num_ack_pending: int = 0
    num_redelivered: int = 0
    num_waiting: int = 0


class _Stream(Struct, frozen=True):
    name: str
    state: _State
    config: _Config = _Config()
    consumers: list[_Consumer] = field(name="consumer_detail", default_factory=list)


class _Account(Struct, frozen=True):
    streams: list[_Stream] = field(name="stream_detail", default_factory=list)


class _Api(Struct, frozen=True):
    errors: int = 0


class _Jsz(Struct, frozen=True):
    storage: int = 0
    api: _Api = _Api()
    accounts: list[_Account] = field(name="account_details", default_factory=list)


class _Varz(Struct, frozen=True):
    version: str
    connections: int = 0
    slow_consumers: int = 0


def look_at_jetstream(monitoring_url: str, fetch: Callable[[str], bytes]) -> JetStreamView:
    """JetStream as it is now.

    Raises:
        NotTold: the endpoints do not answer, or are not those of a NATS server.
    """
    base = monitoring_url.rstrip("/")
    try:
        server = msgspec.json.decode(fetch(f"{base}/varz"), type=_Varz)
        told = msgspec.json.decode(
            fetch(f"{base}/jsz?streams=true&consumers=true&config=true"), type=_Jsz
        )
    except msgspec.DecodeError as error:
        raise NotTold(f"{monitoring_url} is not the monitoring of a NATS server.") from error
    try:
        fetch(f"{base}/healthz?js-enabled-only=true")
        healthy = True
    except NotTold:
        healthy = False
    streams = {stream.name: stream for account in told.accounts for stream in account.streams}
    ours, advisories = streams.get(STREAM), streams.get(ADVISORIES)
    return JetStreamView(
        version=server.version,
        healthy=healthy,
        connections=server.connections,
        slow_consumers=server.slow_consumers,
        storage_bytes=told.storage,
        api_errors=told.api.errors,
        stream=_view(ours) if ours else None,
        advisories=advisories.state.messages if advisories else None,
    )


def _view(stream: _Stream) -> StreamView:
    state = stream.state
    return StreamView(
        messages=state.messages,
        bytes=state.bytes,
        bytes_max=stream.config.max_bytes if stream.config.max_bytes >= 0 else None,
        first_seq=state.first_seq,
        last_seq=state.last_seq,
        last_at=state.last_ts if state.messages else None,
        holes=max(0, state.last_seq - state.first_seq + 1 - state.messages),
        consumers=[
            ConsumerView(
                name=consumer.name,
                delivered_seq=consumer.delivered.stream_seq,
                pending=consumer.num_pending,
                unacknowledged=consumer.num_ack_pending,
                redelivered=consumer.num_redelivered,
                waiting=consumer.num_waiting,
            )
            for consumer in stream.consumers
        ],
    )
