"""Rejections: the expected no's, each with the members its problem carries and one sentence.

The database decides and fills the members; the sentence tells a person what they say. Titles,
meanings and remedies stand in `api.problems`. A rejection is an answer; a `fault` is not.
"""

from collections.abc import Mapping
from typing import ClassVar
from uuid import UUID

from msgspec import Struct, json


class Rejection(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A refusal; its fields are the problem's extra members."""

    slug: ClassVar[str]

    def sentence(self) -> str:
        """What is the matter in this case, for a person."""
        return f"Refused: {self.slug}."


class MissingLine(Struct, frozen=True, kw_only=True):
    """A line whose slot does not exist."""

    slot_id: UUID
    requested: int


class ClosedLine(Struct, frozen=True, kw_only=True):
    """A line whose slot takes no new units, as of a version."""

    slot_id: UUID
    requested: int
    version: int


class ShortLine(Struct, frozen=True, kw_only=True):
    """A line whose slot has too few units left, as of a version."""

    slot_id: UUID
    requested: int
    remaining: int
    version: int


class OverBookingLimit(Struct, frozen=True, kw_only=True):
    """A line with more units than one booking may have of its slot."""

    slot_id: UUID
    requested: int
    limit: int


class OverCustomerLimit(Struct, frozen=True, kw_only=True):
    """A line that would give a customer more units of its slot than the policy allows."""

    slot_id: UUID
    requested: int
    used: int
    limit: int


class InvalidRequest(Rejection, frozen=True, kw_only=True):
    """The body says something that only the database could judge."""

    slug = "invalid-request"
    errors: list[dict[str, str]]

    def sentence(self) -> str:
        """Names every place."""
        places = "; ".join(f"{error['pointer']}: {error['detail']}" for error in self.errors)
        return f"The body is not the documented one at {places}."


class SlotNotFound(Rejection, frozen=True, kw_only=True):
    """No slot has this id: the one in the path, or those of the lines."""

    slug = "slot-not-found"
    slot_id: UUID | None = None
    lines: list[MissingLine] = []

    def sentence(self) -> str:
        """Names every missing slot."""
        if self.slot_id:
            return f"There is no slot {self.slot_id}."
        return f"Not found: slot {', '.join(str(line.slot_id) for line in self.lines)}."


class SlotClosed(Rejection, frozen=True, kw_only=True):
    """A slot is closed, or has ended."""

    slug = "slot-closed"
    lines: list[ClosedLine]

    def sentence(self) -> str:
        """Names every closed slot."""
        slots = ", ".join(str(line.slot_id) for line in self.lines)
        return f"Closed or over, so no new units are given out: slot {slots}."


class CapacityExceeded(Rejection, frozen=True, kw_only=True):
    """A slot has fewer units left than were asked for."""

    slug = "capacity-exceeded"
    lines: list[ShortLine]

    def sentence(self) -> str:
        """Says of each slot how many are left."""
        return " ".join(
            f"Slot {line.slot_id} has {line.remaining} {'unit' if line.remaining == 1 else 'units'} "
            f"left, {line.requested} {'was' if line.requested == 1 else 'were'} asked for."
            for line in self.lines
        )


class BookingLimitExceeded(Rejection, frozen=True, kw_only=True):
    """One booking may not have so many units of a slot."""

    slug = "booking-limit-exceeded"
    lines: list[OverBookingLimit]

    def sentence(self) -> str:
        """Names the limit of each slot."""
        return " ".join(
            f"One booking may have {line.limit} of slot {line.slot_id}, "
            f"{line.requested} were asked for."
            for line in self.lines
        )


class CustomerLimitExceeded(Rejection, frozen=True, kw_only=True):
    """One customer may not have so many units of a slot, all live bookings counted."""

    slug = "customer-limit-exceeded"
    lines: list[OverCustomerLimit]

    def sentence(self) -> str:
        """Names the limit of each slot, and what the customer has."""
        return " ".join(
            f"One customer may have {line.limit} of slot {line.slot_id}; this one has {line.used}, "
            f"{line.requested} more {'was' if line.requested == 1 else 'were'} asked for."
            for line in self.lines
        )


class CapacityBelowUse(Rejection, frozen=True, kw_only=True):
    """A slot cannot become smaller than what is taken of it."""

    slug = "capacity-below-use"
    used: int

    def sentence(self) -> str:
        """Names what is taken."""
        return f"{self.used} {'unit is' if self.used == 1 else 'units are'} held or confirmed."


class HoldTooLong(Rejection, frozen=True, kw_only=True):
    """The policy allows shorter holds only."""

    slug = "hold-too-long"
    limit: int

    def sentence(self) -> str:
        """Names the limit."""
        return f"A hold on these slots may last {self.limit} s at most."


class AlreadyExists(Rejection, frozen=True, kw_only=True, omit_defaults=True):
    """An id chosen by the client is taken."""

    slug = "already-exists"
    booking_id: UUID | None = None
    resource_id: UUID | None = None
    slot_ids: list[UUID] = []

    def sentence(self) -> str:
        """Names what is there already."""
        if self.booking_id:
            return f"Booking {self.booking_id} exists already."
        if self.resource_id:
            return f"Resource {self.resource_id} exists already."
        return f"Existing already: slot {', '.join(map(str, self.slot_ids))}."


class ResourceNotFound(Rejection, frozen=True, kw_only=True):
    """No resource has this id."""

    slug = "resource-not-found"
    resource_id: UUID

    def sentence(self) -> str:
        """Names it."""
        return f"There is no resource {self.resource_id}."


class BookingNotFound(Rejection, frozen=True, kw_only=True):
    """No booking has this id, or not for this caller."""

    slug = "booking-not-found"
    booking_id: UUID

    def sentence(self) -> str:
        """Names it."""
        return f"There is no booking {self.booking_id}."


class WrongState(Rejection, frozen=True, kw_only=True):
    """The booking's state does not allow the command."""

    slug = "wrong-state"
    booking_id: UUID
    state: str
    version: int
    allowed: list[str]

    def sentence(self) -> str:
        """Names the state and those that would do."""
        return f"Booking {self.booking_id} is {self.state}; this needs {' or '.join(self.allowed)}."


class VersionMismatch(Rejection, frozen=True, kw_only=True):
    """The entity has moved on from the version named in If-Match."""

    slug = "version-mismatch"
    expected: list[int]
    actual: int

    def sentence(self) -> str:
        """Names both versions."""
        expected = (
            ", ".join(f'"{version}"' for version in self.expected) or "one that never matches"
        )
        return f'The current version is "{self.actual}", If-Match names {expected}.'


class IdempotencyKeyReused(Rejection, frozen=True, kw_only=True):
    """The key was used for another request."""

    slug = "idempotency-key-reused"

    def sentence(self) -> str:
        """Says so."""
        return "This Idempotency-Key was used before, for a different request."


class Undecided(Rejection, frozen=True, kw_only=True):
    """The deadline passed before the database got to it."""

    slug = "not-decided"

    def sentence(self) -> str:
        """Says so."""
        return "The command was not decided before its deadline and did not happen."


class NotInThisArm(Rejection, frozen=True, kw_only=True):
    """A guard of the laboratory does not know a command, or a rule of the policy."""

    slug = "not-in-this-arm"
    unknown: str

    def sentence(self) -> str:
        """Names what it does not know."""
        return f"This arm of the experiment does not know {self.unknown}: do without it, or unset BOOKING_GUARD."


REJECTIONS: Mapping[str, type[Rejection]] = {
    kind.slug: kind
    for kind in (
        InvalidRequest,
        SlotNotFound,
        SlotClosed,
        BookingLimitExceeded,
        CustomerLimitExceeded,
        CapacityExceeded,
        CapacityBelowUse,
        HoldTooLong,
        AlreadyExists,
        ResourceNotFound,
        BookingNotFound,
        WrongState,
        VersionMismatch,
        IdempotencyKeyReused,
        Undecided,
        NotInThisArm,
    )
}

_DECODERS = {slug: json.Decoder(kind) for slug, kind in REJECTIONS.items()}


def rejection(slug: str, members: str) -> Rejection:
    """The rejection a deciding function has answered with.

    Raises:
        KeyError, msgspec.ValidationError: the function says what nobody here knows, a defect.
    """
    return _DECODERS[slug].decode(members)
