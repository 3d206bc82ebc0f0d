"""The menu of facts: every event type and the data it carries beside its slots.

Names are past participles. A struct holds what `data` says; the slots' state after the change
stands in the envelope. Unknown members are ignored, so a newer writer never breaks an older
reader; a new *meaning* is a new `schema` number with an upcaster.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from msgspec import Struct, convert, json

from booking.events.envelope import Event
from booking.events.upcasters import schema_now, upcast

BookingState = Literal["held", "confirmed", "released", "expired", "cancelled"]


class Policy(Struct, frozen=True, kw_only=True):
    """The rules of a resource, as they stand after the event."""

    hold_seconds: int
    units_per_booking_max: int | None
    units_per_customer_max: int | None
    overbooking_units: int


class BookedLine(Struct, frozen=True, kw_only=True):
    """How many units of one slot a booking holds."""

    slot_id: UUID
    units: int


class ResourceCreated(Struct, frozen=True, kw_only=True):
    """A resource exists."""

    resource_id: UUID
    name: str
    time_zone: str
    policy: Policy
    version: int


class PolicyChanged(Struct, frozen=True, kw_only=True):
    """The rules for future bookings of a resource changed."""

    resource_id: UUID
    policy: Policy
    version: int


class SlotOpened(Struct, frozen=True, kw_only=True):
    """A slot can be booked; capacity and state stand in the envelope's slot."""

    starts_at: datetime
    ends_at: datetime


class SlotChanged(Struct, frozen=True, kw_only=True):
    """Resized, closed or reopened: the envelope's slot says it all."""


class BookingTaken(Struct, frozen=True, kw_only=True):
    """A hold was placed, or a booking confirmed; `before` is null for a new booking."""

    customer_id: UUID
    state: BookingState
    version: int
    expires_at: datetime | None
    lines: list[BookedLine]
    before: BookingState | None


class HoldExtended(Struct, frozen=True, kw_only=True):
    """A hold lives longer."""

    version: int
    expires_at: datetime


class BookingEnded(Struct, frozen=True, kw_only=True):
    """A hold was released or expired, or a booking cancelled: its units went back."""

    state: BookingState
    version: int
    before: BookingState


class BookingRescheduled(Struct, frozen=True, kw_only=True):
    """A booking moved to other lines, keeping its state."""

    state: BookingState
    version: int
    lines: list[BookedLine]
    lines_before: list[BookedLine]


class BookingTransferred(Struct, frozen=True, kw_only=True):
    """A booking belongs to another customer."""

    version: int
    customer_id: UUID
    customer_id_before: UUID


FACTS: Mapping[str, type[Struct]] = {
    "ResourceCreated": ResourceCreated,
    "PolicyChanged": PolicyChanged,
    "SlotOpened": SlotOpened,
    "SlotResized": SlotChanged,
    "SlotClosed": SlotChanged,
    "SlotReopened": SlotChanged,
    "HoldPlaced": BookingTaken,
    "HoldExtended": HoldExtended,
    "HoldReleased": BookingEnded,
    "HoldExpired": BookingEnded,
    "BookingConfirmed": BookingTaken,
    "BookingCancelled": BookingEnded,
    "BookingRescheduled": BookingRescheduled,
    "BookingTransferred": BookingTransferred,
}

_DECODERS = {name: json.Decoder(kind) for name, kind in FACTS.items()}
_SCHEMAS = {name: schema_now(name) for name in FACTS}


def fact(event: Event) -> Struct | None:
    """The decoded data of an event in today's words, or None when its type is not known here.

    Raises:
        msgspec.ValidationError: the type is known and the data is not what it promises.
        NewerSchema: the type is known, its schema is not.
    """
    decoder = _DECODERS.get(event.type)
    if decoder is None:
        return None
    if event.schema == _SCHEMAS[event.type]:
        return decoder.decode(event.data)
    data = upcast(event.type, event.schema, json.decode(event.data, type=dict[str, Any]))
    return convert(data, FACTS[event.type])
