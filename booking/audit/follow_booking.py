"""What an event makes of a booking, and whether it may: the state table, told from the events' side.

The deciding functions have their own table (`booking.transition`). This one is written from the
contract and not read from there, because an auditor who copies the books finds them in order.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from msgspec import Struct

from booking.audit.entities import UNKNOWN, Booking, Lines, microseconds
from booking.events.facts import (
    BookedLine,
    BookingEnded,
    BookingRescheduled,
    BookingTaken,
    BookingTransferred,
    HoldExtended,
)

FROM: Final[Mapping[str, tuple[str, ...]]] = {
    "HoldPlaced": ("",),  # there was no booking
    "BookingConfirmed": ("", "held"),
    "HoldExtended": ("held",),
    "HoldReleased": ("held",),
    "HoldExpired": ("held",),
    "BookingCancelled": ("held", "confirmed"),
    "BookingRescheduled": ("held", "confirmed"),
    "BookingTransferred": ("held", "confirmed"),
}
TO: Final[Mapping[str, str]] = {
    "HoldPlaced": "held",
    "BookingConfirmed": "confirmed",
    "HoldReleased": "released",
    "HoldExpired": "expired",
    "BookingCancelled": "cancelled",
}
"""Events that are not here leave the state as it was."""


class Step(NamedTuple):
    """A booking after an event, what the event says of it, and what it should have said."""

    after: Booking
    says: dict[str, object]
    expected: dict[str, object]


def follow(before: Booking, position: int, kind: str, data: Struct) -> Step:
    """Take one step in the life of a booking: `before` is UNKNOWN for its first event.

    Raises:
        TypeError: the event is not about a booking.
    """
    after, says, expected = _told(before, position, data)
    says["version"] = after.version
    expected["version"] = before.version + 1
    says["state"] = after.state
    expected["state"] = TO.get(kind, before.state)
    says["before"] = says.get("before", before.state)
    expected["before"] = (
        before.state
        if before.state in FROM[kind]
        else " or ".join(state or "nothing" for state in FROM[kind])
    )
    return Step(after, says, expected)


def _told(
    before: Booking, position: int, data: Struct
) -> tuple[Booking, dict[str, object], dict[str, object]]:
    match data:
        case BookingTaken():
            after = Booking(
                data.state,
                data.version,
                position,
                data.customer_id.int,
                None if data.expires_at is None else microseconds(data.expires_at),
                _lines(data.lines),
            )
            kept = after if before is UNKNOWN else before
            return (
                after,
                {
                    "before": data.before or "",
                    "customer_id": after.customer_id,
                    "lines": after.lines,
                    "expires": after.expires_us is not None,
                },
                {
                    "customer_id": kept.customer_id,
                    "lines": kept.lines,
                    "expires": after.state == "held",
                },
            )
        case HoldExtended():
            expires_us = microseconds(data.expires_at)
            after = before._replace(version=data.version, position=position, expires_us=expires_us)
            return after, {}, {}
        case BookingEnded():
            after = before._replace(
                state=data.state, version=data.version, position=position, expires_us=None
            )
            return after, {"before": data.before}, {}
        case BookingRescheduled():
            after = before._replace(
                state=data.state,
                version=data.version,
                position=position,
                lines=_lines(data.lines),
            )
            lines_before = _lines(data.lines_before)
            return after, {"lines_before": lines_before}, {"lines_before": before.lines}
        case BookingTransferred():
            after = before._replace(
                version=data.version, position=position, customer_id=data.customer_id.int
            )
            return (
                after,
                {"customer_id_before": data.customer_id_before.int},
                {"customer_id_before": before.customer_id},
            )
        case _:
            raise TypeError(f"{type(data).__name__} is not about a booking.")


def _lines(lines: list[BookedLine]) -> Lines:
    if len(lines) == 1:  # most bookings, and there is nothing to sort
        return ((lines[0].slot_id.int, lines[0].units),)
    return tuple(sorted((line.slot_id.int, line.units) for line in lines))
