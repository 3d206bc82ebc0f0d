"""What an arm of the laboratory looks up before its guard is asked: keys, bookings, slots, policies.

Everything is read inside the deciding transaction. Existing bookings are locked, so that each leaves
its state once; slots are not, because how to treat them is the guard's own idea.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg

from booking.commands.command import Command

LOOK = """
SELECT clock_timestamp() AS moment, b.version AS version_of_its_id, earlier.fingerprint,
       earlier.status, earlier.answer, earlier.location, earlier.etag, earlier.epoch,
       earlier."position", earlier.recorded_at
FROM unnest($1::text[], $2::text[], $3::uuid[]) WITH ORDINALITY
    AS asked(caller, command_id, booking_id, ordinal)
LEFT JOIN LATERAL booking.recall(asked.caller, asked.command_id) AS earlier ON true
LEFT JOIN booking.booking AS b ON b.booking_id = asked.booking_id
ORDER BY asked.ordinal
"""
# Locked, so that a booking leaves its state once.
BOOKINGS = """
SELECT booking_id, customer_id, state, version, expires_at
FROM booking.booking WHERE booking_id = ANY ($1) ORDER BY booking_id FOR NO KEY UPDATE
"""
LINES = """
SELECT booking_id, slot_id, units
FROM booking.booking_line WHERE booking_id = ANY ($1) ORDER BY slot_id
"""
SLOTS = """
SELECT s.slot_id, s.version, s.state = 'open' AND s.ends_at > clock_timestamp() AS on_sale,
       r.hold_seconds, r.units_per_booking_max, r.units_per_customer_max
FROM booking.slot AS s JOIN booking.resource AS r USING (resource_id)
WHERE s.slot_id = ANY ($1)
"""

TAKING = frozenset({"PlaceHold", "BookNow"})
EVENTS = {
    "PlaceHold": "HoldPlaced",
    "BookNow": "BookingConfirmed",
    "ReleaseHold": "HoldReleased",
    "CancelBooking": "BookingCancelled",
}
"""What an arm can be asked, and the event it becomes."""


class Booking(NamedTuple):
    """A booking that exists, locked."""

    customer_id: UUID
    state: str
    version: int
    expires_at: datetime | None
    lines: Sequence[tuple[UUID, int]]


class Facts(NamedTuple):
    """What was looked up for one command before its guard is asked."""

    moment: datetime
    version_of_its_id: int | None
    """Of the booking that has the id already, which a new booking names."""
    earlier: asyncpg.Record | None
    """What the same key was answered with before."""
    booking: Booking | None
    slots: Mapping[UUID, asyncpg.Record]


async def look_up(connection: asyncpg.Connection, commands: Sequence[Command]) -> list[Facts]:
    """The facts of each command, in as few statements as the commands need."""
    records = await connection.fetch(
        LOOK,
        [command.call.caller for command in commands],
        [command.call.command_id for command in commands],
        [command.booking_id for command in commands],
    )
    bookings: dict[UUID | None, Booking] = {}
    existing = [c.booking_id for c in commands if c.kind in EVENTS and c.kind not in TAKING]
    if existing:
        lines: dict[UUID, list[tuple[UUID, int]]] = defaultdict(list)
        locked = await connection.fetch(BOOKINGS, existing)
        for line in await connection.fetch(LINES, existing):
            lines[line["booking_id"]].append((line["slot_id"], line["units"]))
        for row in locked:
            bookings[row["booking_id"]] = Booking(
                row["customer_id"],
                row["state"],
                row["version"],
                row["expires_at"],
                lines[row["booking_id"]],
            )
    wanted = {slot_id for command in commands for slot_id, _ in command.lines}
    wanted |= {slot_id for booking in bookings.values() for slot_id, _ in booking.lines}
    slots = {slot["slot_id"]: slot for slot in await connection.fetch(SLOTS, wanted)}
    return [
        Facts(
            record["moment"],
            record["version_of_its_id"],
            record if record["fingerprint"] is not None else None,
            bookings.get(command.booking_id),
            slots,
        )
        for command, record in zip(commands, records, strict=True)
    ]
