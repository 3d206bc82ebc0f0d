"""What the auditor remembers of the log: resources, slots and bookings after their newest event.

Ids are integers here: they order as the database orders them and take little room. Measured, with
the entry in the fold: 464 bytes for a slot; bookings are many, so they are packed, 191 bytes with one
line and 20 more for each further line; 112 for a customer's use of a slot where a limit counts it.
"""

from datetime import UTC, datetime, timedelta
from functools import cache
from struct import Struct as Layout
from typing import Final, NamedTuple

from msgspec import Struct

from booking.events.facts import Policy

LIVE: Final = ("held", "confirmed")
_STATES: Final = ("", *LIVE, "released", "expired", "cancelled")
_NEVER: Final = -(2**63)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

Lines = tuple[tuple[int, int], ...]
"""Slot id and units, by slot id."""
Moves = dict[int, tuple[int, int]]
"""Changes of held and confirmed, by slot id."""


class Resource(Struct):
    """A resource as its newest event says."""

    version: int
    name: str
    time_zone: str
    policy: Policy

    @property
    def limits_customers(self) -> bool:
        """Whether the use of its slots is counted for each customer."""
        return self.policy.units_per_customer_max is not None


class Slot(Struct, gc=False):
    """A slot as its newest event says, and beside it what the log's live bookings sum to."""

    resource_id: int = 0
    starts_us: int = 0
    ends_us: int = 0
    version: int = 0
    open: bool = True
    capacity: int = 0
    overbooking_units: int = 0
    held: int = 0
    confirmed: int = 0
    live_held: int = 0
    live_confirmed: int = 0


class Booking(NamedTuple):
    """A booking after one event."""

    state: str
    version: int
    position: int
    customer_id: int
    expires_us: int | None
    lines: Lines

    @property
    def counted(self) -> Moves:
        """By slot: what it adds to held and to confirmed. Nothing, once it has ended."""
        if self.state == "held":
            return {slot_id: (units, 0) for slot_id, units in self.lines}
        if self.state == "confirmed":
            return {slot_id: (0, units) for slot_id, units in self.lines}
        return {}


UNKNOWN: Final = Booking("", 0, 0, 0, None, ())
"""A booking of which no event was seen."""


def movement(before: Booking, after: Booking) -> Moves:
    """How the counters of slots change when a booking becomes another; slots left alone are left out."""
    moves = after.counted
    if before is UNKNOWN:
        return moves
    for slot_id, (held, confirmed) in before.counted.items():
        now_held, now_confirmed = moves.get(slot_id, (0, 0))
        moves[slot_id] = (now_held - held, now_confirmed - confirmed)
    return {slot_id: move for slot_id, move in moves.items() if move != (0, 0)}


def pack(booking: Booking) -> bytes:
    """The booking in few bytes.

    Raises:
        struct.error: a number in it is out of every range that the database allows.
    """
    state, version, position, customer_id, expires_us, lines = booking
    flat: list[object] = []
    for slot_id, units in lines:
        flat += (slot_id.to_bytes(16, "big"), units)
    return _layout(len(lines)).pack(
        _STATES.index(state),
        version,
        position,
        _NEVER if expires_us is None else expires_us,
        customer_id.to_bytes(16, "big"),
        *flat,
    )


def unpack(packed: bytes) -> Booking:
    """The booking that was packed."""
    state, version, position, expires_us, customer_id, *flat = _layout(
        (len(packed) - _layout(0).size) // 20
    ).unpack(packed)
    return Booking(
        _STATES[state],
        version,
        position,
        int.from_bytes(customer_id, "big"),
        None if expires_us == _NEVER else expires_us,
        tuple(
            (int.from_bytes(slot_id, "big"), units)
            for slot_id, units in zip(flat[::2], flat[1::2], strict=True)
        ),
    )


@cache
def _layout(lines: int) -> Layout:
    return Layout("<Bqqq16s" + lines * "16si")


def microseconds(moment: datetime) -> int:
    """Since 1970; exact, as the database keeps them."""
    return (moment - _EPOCH) // _MICROSECOND
