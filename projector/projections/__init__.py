"""What becomes of each event: the one table from event types to projections.

A projection is a pure function that folds one event into the changes of a batch; each module also
holds the SQL that writes its changes, for the consumer to run. Adding a read model touches one
file and the lines of this table. An event type that stands in neither table is a mistake a test
finds; one that this version does not know at all is counted and skipped.
"""

from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct

from booking.events.envelope import Event
from projector.projections import (
    activity,
    availability,
    booked,
    bookings,
    histories,
    resources,
)
from projector.projections.changes import Changed, Write

Projection = Callable[[Event, Struct, Changed], None]

PROJECTIONS: Mapping[str, tuple[Projection, ...]] = {
    "ResourceCreated": (resources.created,),
    "PolicyChanged": (resources.policy_changed,),
    "SlotOpened": (availability.opened, histories.told),
    "SlotResized": (availability.touched, histories.told),
    "SlotClosed": (availability.touched, histories.told),
    "SlotReopened": (availability.touched, histories.told),
    "HoldPlaced": (
        availability.touched,
        bookings.taken,
        activity.taken,
        booked.taken,
        histories.told,
    ),
    "HoldExtended": (bookings.extended, histories.told),
    "HoldReleased": (
        availability.touched,
        bookings.ended,
        activity.ended,
        booked.ended,
        histories.told,
    ),
    "HoldExpired": (
        availability.touched,
        bookings.ended,
        activity.ended,
        booked.ended,
        histories.told,
    ),
    "BookingConfirmed": (
        availability.touched,
        bookings.taken,
        activity.taken,
        booked.taken,
        histories.told,
    ),
    "BookingCancelled": (
        availability.touched,
        bookings.ended,
        activity.ended,
        booked.ended,
        histories.told,
    ),
    "BookingRescheduled": (
        availability.touched,
        bookings.rescheduled,
        booked.rescheduled,
        histories.told,
    ),
    "BookingTransferred": (bookings.transferred, histories.told),
}

IGNORED: frozenset[str] = frozenset()
"""Event types that deliberately change no read model."""


def writes(changed: Changed) -> Iterator[Write]:
    """The statements that bring a batch into the read model, in an order that satisfies them."""
    yield from resources.writes(changed)
    yield from availability.writes(changed)
    yield from bookings.writes(changed)
    yield from activity.writes(changed)
    yield from booked.writes(changed)
    yield from histories.writes(changed)


__all__ = ["IGNORED", "PROJECTIONS", "Changed", "Projection", "Write", "writes"]
