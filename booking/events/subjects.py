"""Where things travel: the stream's name, the subjects of events and the three core subjects.

The epoch stands in the subject, so a relay that slept through an epoch change publishes to a
subject nobody stores and is told so at once.
"""

from uuid import UUID

STREAM = "BOOKING_EVENTS"
ADVISORIES = "BOOKING_ADVISORIES"
"""The stream that keeps what the NATS server itself says about `STREAM` and its consumers."""
WAKE = "booking.wake"
"""Core NATS, after a commit: there is something to relay. May be lost; the relay polls as well."""
LOG_HEAD = "booking.log.head"
"""Core NATS: the relay's heartbeat (`messages.Heartbeat`)."""
AVAILABILITY_CHANGES = "booking.availability.changes"
"""Core NATS: the projector's change feed (`messages.Changes`)."""

SEVERAL = "several"


def stream_subjects(epoch: UUID) -> str:
    """The subjects that the stream of this epoch stores."""
    return f"booking.events.{epoch}.>"


def event_subject(epoch: UUID, resource_id: UUID | None, event_type: str) -> str:
    """The subject of one event; `resource_id` is None when it touches slots of several resources."""
    return f"booking.events.{epoch}.{resource_id or SEVERAL}.{event_type}"
