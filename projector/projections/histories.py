"""Histories: which event made which version of a slot or a booking.

Only positions are kept; the log keeps the events. Every event that touches an entity gives it its next
version, so a history without holes is one that missed nothing.
"""

from collections.abc import Iterator

from msgspec import Struct

from booking.events.envelope import Event
from projector.projections.changes import Changed, Write


def told(event: Event, fact: Struct, changed: Changed) -> None:
    """Something happened to slots, a booking, or both."""
    for slot in event.slots:
        changed.slot_events.append((slot.slot_id, slot.version, event.position))
    version = getattr(fact, "version", None)
    if event.booking_id is not None and version is not None:
        changed.booking_events.append((event.booking_id, version, event.position))


KEEP_SLOT_EVENTS = """
INSERT INTO read_model.slot_event (slot_id, version, position)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[])
ON CONFLICT (slot_id, version) DO NOTHING
"""

KEEP_BOOKING_EVENTS = """
INSERT INTO read_model.booking_event (booking_id, version, position)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[])
ON CONFLICT (booking_id, version) DO NOTHING
"""


def writes(changed: Changed) -> Iterator[Write]:
    """Where this batch's events stand."""
    for statement, events in (
        (KEEP_SLOT_EVENTS, changed.slot_events),
        (KEEP_BOOKING_EVENTS, changed.booking_events),
    ):
        if events:
            yield Write(statement, tuple(zip(*events, strict=True)))
