"""The change feed: what a committed batch changed, for whoever keeps slots in memory or waits.

Core NATS, so a message may be lost; each says where it continues from, so a listener notices. It
is published after the commit and never waited for: with NATS away, readers look at the checkpoint.
"""

from collections.abc import Sequence

import msgspec
import nats.errors
from nats.aio.client import Client

from booking.events.messages import Changes, SlotState
from booking.events.subjects import AVAILABILITY_CHANGES
from projector.guards.checkpoint_compare_and_set import Checkpoint

SLOTS_PER_PART_MAX = 1000
"""A whole slot takes under 400 bytes of JSON; NATS carries 1 MiB per message."""

_encode = msgspec.json.Encoder().encode


def messages(previous: int, now: Checkpoint, slots: Sequence[SlotState]) -> list[bytes]:
    """The announcement of a batch, in parts; none while the view cannot tell its age."""
    if now.epoch is None or now.as_of is None:
        return []
    parts = max(1, -(-len(slots) // SLOTS_PER_PART_MAX))
    return [
        _encode(
            Changes(
                epoch=now.epoch,
                generation=now.generation,
                previous_position=previous,
                position=now.position,
                as_of=now.as_of,
                part=part + 1,
                parts=parts,
                slots=list(slots[part * SLOTS_PER_PART_MAX : (part + 1) * SLOTS_PER_PART_MAX]),
            )
        )
        for part in range(parts)
    ]


async def announce(
    nats_client: Client | None, previous: int, now: Checkpoint, slots: Sequence[SlotState] = ()
) -> None:
    """Publish; a broker that is away misses it."""
    if nats_client is None or not nats_client.is_connected:
        return
    try:
        for message in messages(previous, now, slots):
            await nats_client.publish(AVAILABILITY_CHANGES, message)
    except (nats.errors.Error, OSError):
        return  # lost like any other core message; readers look at the checkpoint instead
