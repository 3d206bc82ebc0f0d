"""What is said besides events: the relay's heartbeat and the read side's change feed.

Both are core NATS messages that may be lost; each says enough to notice that.
"""

from datetime import datetime
from uuid import UUID

from msgspec import Struct


class Heartbeat(Struct, frozen=True, kw_only=True):
    """At the moment `at` (database time) the log of this epoch ended at `position`, or later.

    A reader whose position is at least this one has therefore heard everything up to `at`.
    """

    epoch: UUID
    position: int
    at: datetime


class SlotState(Struct, frozen=True, kw_only=True):
    """A whole slot as the read side shows it; never a delta."""

    slot_id: UUID
    resource_id: UUID
    starts_at: datetime
    ends_at: datetime
    state: str
    capacity: int
    overbooking_units: int
    held: int
    confirmed: int
    remaining: int
    version: int


class Changes(Struct, frozen=True, kw_only=True):
    """What one committed batch of the projector changed, in `parts` messages of at most 1,000 slots.

    `previous_position` says whether the listener missed one; `generation` grows when the rows were
    replaced as a whole, so nothing held in memory may survive it. An empty one says only how far
    the read model has heard (`as_of`).
    """

    epoch: UUID
    generation: int
    previous_position: int
    position: int
    as_of: datetime
    part: int
    parts: int
    slots: list[SlotState]
