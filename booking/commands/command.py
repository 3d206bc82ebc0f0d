"""A command on its way to the database, and the decision that comes back.

`Command` is the row type `booking.command` of the schema, `Decision` a row of what the deciding
functions return: the fields stand in the same order there and here.
"""

from datetime import datetime
from typing import Self
from uuid import UUID

import asyncpg
from msgspec import Struct, structs

from booking.model import MergedLines


class Call(Struct, frozen=True, kw_only=True):
    """Who asks, under which id, and until when (database time) it may still be decided."""

    caller: str
    command_id: str
    fingerprint: bytes | None
    """What a repeated id must ask for again; None: not recorded, so never repeated."""
    deadline: datetime
    correlation_id: str | None = None
    traceparent: str | None = None
    owner: UUID | None = None
    """The one customer whose bookings exist for this caller; None: everybody's."""
    if_match: tuple[int, ...] | None = None
    """The versions the client accepts; None: not sent, or `*`. An empty one matches nothing."""


class Command(Struct, frozen=True):
    """One order: what, by whom, about which booking or slot. Lines are merged and in slot id order."""

    kind: str
    call: Call
    booking_id: UUID | None = None
    customer_id: UUID | None = None
    hold_seconds: int | None = None
    lines: MergedLines = ()
    slot_id: UUID | None = None
    capacity: int | None = None
    overbooking_units: int | None = None

    def row(self, ordinal: int) -> tuple[object, ...]:
        """The value of `booking.command`; `ordinal` ties lines and decision to it."""
        call = self.call
        return (
            ordinal,
            self.kind,
            call.caller,
            call.command_id,
            call.fingerprint,
            call.deadline,
            call.correlation_id,
            call.traceparent,
            call.owner,
            self.booking_id,
            self.customer_id,
            self.hold_seconds,
            call.if_match,
            self.slot_id,
            self.capacity,
            self.overbooking_units,
        )


class Decision(Struct, frozen=True):
    """The final answer to one command: accepted, replayed, or refused under a rejection's slug."""

    ordinal: int
    outcome: str
    status: int
    body: str
    """Accepted or replayed: the answer, byte for byte. Refused: the problem's own members."""
    location: str | None
    etag: int | None
    epoch: UUID
    position: int
    as_of: datetime

    @classmethod
    def of(cls, row: asyncpg.Record | None) -> Self:
        """The decision in a row of a deciding function.

        Raises:
            AssertionError: there is none, which is a defect of that function.
        """
        if row is None:
            raise AssertionError("A deciding function has answered nothing.")
        return cls(*row)

    def repeated(self) -> "Decision":
        """The same decision for another caller that asked the same under the same key."""
        return structs.replace(self, outcome="replayed") if self.outcome == "accepted" else self

    @property
    def accepted(self) -> bool:
        """Whether the command happened, now or when its key was first used."""
        return self.outcome in {"accepted", "replayed"}
