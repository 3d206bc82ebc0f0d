"""What one batch of events changes, each entity once and in its newest state.

Projections fold events into it in the order of the log; writing a slot once per batch, however
often it was booked, is what lets one hot slot through.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from msgspec import Struct, field

from booking.events.envelope import SlotChange
from booking.events.facts import BookedLine, BookingTaken, Policy, SlotOpened


class NewBooking(NamedTuple):
    """A booking made in this batch: the event that made it, and where it stands in the log."""

    booking_id: UUID
    taken: BookingTaken
    created_position: int
    created_at: datetime


class BookingChange(Struct, kw_only=True):
    """What became of a booking since; None where nothing did (`expires_at` goes with `state`)."""

    version: int
    updated_at: datetime
    state: str | None = None
    expires_at: datetime | None = None
    customer_id: UUID | None = None
    lines: list[BookedLine] | None = None


class ResourceState(Struct, kw_only=True):
    """A resource as it stands; `name` and `time_zone` are None when only its policy changed."""

    version: int
    policy: Policy
    name: str | None = None
    time_zone: str | None = None


class Changed(Struct, kw_only=True):
    """Everything a batch changes."""

    resources: dict[UUID, ResourceState] = field(default_factory=dict)
    slots_opened: dict[UUID, SlotOpened] = field(default_factory=dict)
    slots: dict[UUID, SlotChange] = field(default_factory=dict)
    bookings_taken: dict[UUID, NewBooking] = field(default_factory=dict)
    bookings: dict[UUID, BookingChange] = field(default_factory=dict)
    activity: dict[tuple[UUID, datetime], list[int]] = field(default_factory=dict)
    """By resource and hour: what is added to each column of `activity`."""
    booked: dict[tuple[UUID, str], list[int]] = field(default_factory=dict)
    """By resource and state: lines and units added."""
    slot_events: list[tuple[UUID, int, int]] = field(default_factory=list)
    """Slot, version, position."""
    booking_events: list[tuple[UUID, int, int]] = field(default_factory=list)
    """Booking, version, position."""


class Write(NamedTuple):
    """A statement with its parameters; `slots` says that it returns whole slots as written."""

    sql: str
    parameters: Sequence[object]
    slots: bool = False
