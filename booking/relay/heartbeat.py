"""Says how far the log had come at a moment, so that readers of a quiet log know how fresh they are.

A heartbeat must never claim too much: a reader at its position takes its `at` for the moment up to
which it has heard everything.
"""

import msgspec
from nats.aio.client import Client

from booking.events.messages import Heartbeat
from booking.events.subjects import LOG_HEAD
from booking.relay.read_log import Head


async def beat(nats: Client, head: Head) -> None:
    """Tell whoever listens; nobody has to, and nobody answers."""
    heartbeat = Heartbeat(epoch=head.epoch, position=head.position, at=head.at)
    await nats.publish(LOG_HEAD, msgspec.json.encode(heartbeat))
