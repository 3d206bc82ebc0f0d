"""What the NATS server itself says about the stream and its consumers, kept in a small stream beside it.

Advisories are core messages: who does not listen misses them, and they come when things go wrong. A
stream on their subjects listens always. Operators read it (`projector status` counts them); nothing
depends on it, so failing to make it is logged and no more.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats.errors
import structlog
from nats.aio.client import Client
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from booking.edge.ending import end
from booking.events.subjects import ADVISORIES, STREAM

KEPT_MAX = 1_000
KEPT_S = 7 * 24 * 3600
KEPT_BYTES = 4 * 2**20

CAPTURED = StreamConfig(
    name=ADVISORIES,
    description=f"What the server said about {STREAM}: made, changed, deleted, redelivered, lost.",
    subjects=[
        f"$JS.EVENT.ADVISORY.STREAM.*.{STREAM}",
        f"$JS.EVENT.ADVISORY.CONSUMER.*.{STREAM}.>",
    ],
    storage=StorageType.FILE,
    retention=RetentionPolicy.LIMITS,
    discard=DiscardPolicy.OLD,
    max_msgs=KEPT_MAX,
    max_age=KEPT_S,
    max_bytes=KEPT_BYTES,
)

_log = structlog.get_logger(__name__)


@asynccontextmanager
async def captured_advisories(client: Client) -> AsyncIterator[None]:
    """Have the stream made beside the work, which never waits for it."""
    making = asyncio.create_task(_make(client), name="advisories")
    try:
        yield
    finally:
        await end(making)


async def _make(client: Client) -> None:
    try:
        await client.jetstream(timeout=2).add_stream(CAPTURED)  # as it is already: no change
    except (nats.errors.Error, OSError, TimeoutError) as error:
        _log.warning("advisories_not_captured", reason=f"{type(error).__name__}: {error}")
