"""What answers look like, for the documentation only: the bytes themselves come from the database."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct


class PolicyShown(Struct, frozen=True, kw_only=True):
    """The rules of a resource."""

    hold_seconds: int
    units_per_booking_max: int | None
    units_per_customer_max: int | None
    overbooking_units: int


class ResourceShown(Struct, frozen=True, kw_only=True):
    """A resource and the position of the event that made it so."""

    resource_id: UUID
    name: str
    time_zone: str
    version: int
    position: int
    policy: PolicyShown


class SlotShown(Struct, frozen=True, kw_only=True):
    """A slot with its counts; `remaining` is what the next booking can still get."""

    slot_id: UUID
    resource_id: UUID
    starts_at: datetime
    ends_at: datetime
    state: Literal["open", "closed"]
    capacity: int
    overbooking_units: int
    held: int
    confirmed: int
    remaining: int
    version: int


class SlotChanged(SlotShown, frozen=True, kw_only=True):
    """A slot after a change, and the position of the event that made it so."""

    position: int


class SlotsOpened(Struct, frozen=True, kw_only=True):
    """The slots in the order sent; `position` is the last one's."""

    resource_id: UUID
    position: int
    slots: list[SlotShown]


class LineShown(Struct, frozen=True, kw_only=True):
    """A line, and the slot's state as of its event; null where that event did not touch the slot."""

    slot_id: UUID
    units: int
    remaining: int | None
    version: int | None


class BookingShown(Struct, frozen=True, kw_only=True):
    """A booking; lines are merged and in slot id order, `expires_at` is null unless held."""

    booking_id: UUID
    customer_id: UUID
    state: Literal["held", "confirmed", "released", "expired", "cancelled"]
    version: int
    expires_at: datetime | None
    position: int
    lines: list[LineShown]


class CommandShown(Struct, frozen=True, kw_only=True):
    """What became of a command, and the answer it was given."""

    key: str
    state: Literal["done"]
    command: str
    status: int
    location: str | None
    position: int
    recorded_at: datetime
    answer: dict[str, object]
