"""One event as it travels: the envelope, strict in writing and tolerant in reading.

The writer composes the payload from one row of the log; the very same bytes go to the stream and
to `GET /v1/events`. A reader ignores members it does not know and decodes `data` only when it
knows the type (`booking.events.facts`), because a tagged union would refuse unknown tags.
"""

from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import Raw, Struct


class SlotChange(Struct, frozen=True, kw_only=True):
    """A slot touched by an event: the change (`units`) and the whole state after it."""

    slot_id: UUID
    resource_id: UUID
    units: int
    version: int
    state: str
    capacity: int
    overbooking_units: int
    held: int
    confirmed: int
    remaining: int


class Event(Struct, frozen=True, kw_only=True):
    """A fact of the log at its position; `slots` are absolute, so the newest makes older ones moot."""

    event_id: UUID
    epoch: UUID
    position: int
    type: str
    schema: int
    recorded_at: datetime
    actor: str
    command_id: str
    correlation_id: str | None
    booking_id: UUID | None
    slots: list[SlotChange]
    data: Raw


class LogRow(Struct, frozen=True):
    """One row of the event log, as the relay and the read side select it (`LOG_COLUMNS`)."""

    position: int
    event_id: UUID
    type: str
    schema: int
    recorded_at: datetime
    actor: str
    command_id: str
    correlation_id: str | None
    traceparent: str | None
    booking_id: UUID | None
    resource_id: UUID | None
    slots: str
    data: str


LOG_COLUMNS = ", ".join(f'"{name}"' for name in LogRow.__struct_fields__)
"""The select list that fills a `LogRow`, in the order of its fields."""


class _Payload(Struct, frozen=True, kw_only=True):
    """The envelope in writing: the order of members is the contract's."""

    event_id: UUID
    epoch: UUID
    position: int
    type: str
    schema: int
    recorded_at: datetime
    actor: str
    command_id: str
    correlation_id: str | None
    booking_id: UUID | None
    slots: Raw
    data: Raw


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Event).decode


def payload(row: LogRow, epoch: UUID) -> bytes:
    """The bytes of one event: what the stream carries and `/v1/events` shows.

    The epoch is the log's of now, not of when the event happened: a log that was put back to an
    older copy tells its old facts under a new epoch.
    """
    return _encode(
        _Payload(
            event_id=row.event_id,
            epoch=epoch,
            position=row.position,
            type=row.type,
            schema=row.schema,
            recorded_at=row.recorded_at,
            actor=row.actor,
            command_id=row.command_id,
            correlation_id=row.correlation_id,
            booking_id=row.booking_id,
            slots=Raw(row.slots.encode()),
            data=Raw(row.data.encode()),
        )
    )


def decode(message: bytes) -> Event:
    """Read an event, ignoring unknown members.

    Raises:
        msgspec.DecodeError: the bytes are not an event (malformed, or a member is missing or of
            another type).
    """
    return _decode(message)
