"""One event as its row in the log tells it: the columns, and the payload in today's words.

Nothing is judged here. That the columns say what the payload says, and that both follow from the events
before, is the fold's matter.
"""

from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from msgspec import Struct, json

from booking.events.envelope import SlotChange
from booking.events.facts import FACTS
from booking.events.upcasters import schema_now, upcast

_changes = json.Decoder(list[SlotChange]).decode
_TODAY: Final = {
    kind: (schema_now(kind), json.Decoder(facts).decode) for kind, facts in FACTS.items()
}


class LoggedEvent(NamedTuple):
    """Of one row of the log, what an audit needs."""

    position: int
    event_id: UUID
    type: str
    schema: int
    recorded_s: float
    """Since 1970."""
    booking_id: UUID | None
    resource_id: UUID | None
    slot_ids: list[UUID]
    slots: str
    data: str


def changes_of(event: LoggedEvent) -> list[SlotChange]:
    """What it says of slots.

    Raises:
        msgspec.MsgspecError: nothing that can be read.
    """
    return _changes(event.slots)


def data_of(event: LoggedEvent) -> Struct:
    """What it says otherwise; told under an older schema, in the words of today's.

    Raises:
        KeyError: its type is unknown.
        msgspec.MsgspecError: nothing that can be read.
        NewerSchema: it was told by a newer version of the system.
    """
    schema, decode = _TODAY[event.type]
    if event.schema == schema:
        return decode(event.data)
    data = upcast(event.type, event.schema, json.decode(event.data, type=dict[str, Any]))
    return msgspec.convert(data, FACTS[event.type])


def columns(
    booking_id: UUID | None, resource_id: UUID | None, slot_ids: list[UUID]
) -> dict[str, object]:
    """The columns by which readers find an event, for a witness."""
    return {
        "booking_id": None if booking_id is None else str(booking_id),
        "resource_id": None if resource_id is None else str(resource_id),
        "slot_ids": [str(slot_id) for slot_id in slot_ids],
    }
