"""The vocabulary of the write side: limits, the policy of a resource, lines, and what may follow what.

Nothing here decides whether units are left; that is the write's own condition (`booking.guards`).
Pure: no database, no clock, no chance.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from msgspec import Meta, Struct

HOLD_SECONDS_DEFAULT: Final = 900
LINES_MAX: Final = 32
SLOTS_PER_CALL_MAX: Final = 1000

# Control characters, NUL among them, would come back from a log or a terminal as something else.
Name = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00-\x1f\x7f-\x9f]*(?![\s\S])",
        extra={"refusal": "A name takes no control characters, such as a tab or the end of a line"},
    ),
]
TimeZone = Annotated[str, Meta(min_length=1, max_length=64, description="IANA name")]
HoldSeconds = Annotated[int, Meta(ge=1, le=604_800, description="seconds")]
UnitsMax = Annotated[int, Meta(ge=1, le=10_000)]
OverbookingUnits = Annotated[int, Meta(ge=0, le=1_000_000)]
Capacity = Annotated[int, Meta(ge=0, le=1_000_000)]
Units = Annotated[int, Meta(ge=1, le=10_000)]
Moment = Annotated[datetime, Meta(tz=True)]
"""With its offset; the edge refuses years other than 1970 to 2199."""


class Policy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rules of a resource; new slots and bookings take theirs from here."""

    hold_seconds: HoldSeconds = HOLD_SECONDS_DEFAULT
    units_per_booking_max: UnitsMax | None = None
    units_per_customer_max: UnitsMax | None = None
    overbooking_units: OverbookingUnits = 0


class Line(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many units of one slot are asked for."""

    slot_id: UUID
    units: Units


Lines = Annotated[list[Line], Meta(min_length=1, max_length=LINES_MAX)]

MergedLines = tuple[tuple[UUID, int], ...]
"""(slot_id, units), one per slot, in slot id order: the order in which rows are locked."""


def merged(lines: Iterable[Line]) -> MergedLines:
    """Lines of one slot added up, sorted by slot id."""
    units: dict[UUID, int] = {}
    for line in lines:
        units[line.slot_id] = units.get(line.slot_id, 0) + line.units
    return tuple(units.items()) if len(units) == 1 else tuple(sorted(units.items()))


TRANSITIONS: Mapping[str, Mapping[str, str]] = {
    "ConfirmBooking": {"held": "confirmed"},
    "ReleaseHold": {"held": "released"},
    "CancelBooking": {"held": "cancelled", "confirmed": "cancelled"},
    "ExpireHold": {"held": "expired"},
    "ExtendHold": {"held": "held"},
    "RescheduleBooking": {"held": "held", "confirmed": "confirmed"},
    "TransferBooking": {"held": "held", "confirmed": "confirmed"},
}
"""Per command: from which state to which. A command whose other state is already reached answers 200
without an event; everything else is refused as wrong-state. The database keeps this table
(`booking.transition`); here it is for people and for the test that compares the two."""
