"""Says how far the log had come at a moment, so that readers of a quiet log know how fresh they are.

A heartbeat must never claim too much: a reader at its position takes its `at` for the moment up to
which it has heard everything.
"""

from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec
from nats.aio.client import Client

from booking.events.messages import Heartbeat
from booking.events.subjects import LOG_HEAD


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """Where the log ended at the moment `at` (database time), or later."""

    epoch: UUID
    position: int
    at: datetime


# One statement in a transaction of its own: transaction_timestamp() is taken when the statement
# arrives, the snapshot afterwards, so what committed before `at` is seen. clock_timestamp() would
# be read after the snapshot, and claim what a commit in between has made untrue.
READ_HEAD = 'SELECT epoch, "position", transaction_timestamp() AS at FROM booking.log_head'


async def read_head(log: asyncpg.Pool) -> Head:
    """Read the log's end with a moment before the snapshot that shows it."""
    (row,) = await log.fetch(READ_HEAD)
    return Head(epoch=row["epoch"], position=row["position"], at=row["at"])


async def beat(nats: Client, head: Head) -> None:
    """Tell whoever listens; nobody has to, and nobody answers."""
    heartbeat = Heartbeat(epoch=head.epoch, position=head.position, at=head.at)
    await nats.publish(LOG_HEAD, msgspec.json.encode(heartbeat))
