"""Availability: every slot with its times and what is left of it.

An event carries the whole state of the slots it touches, so of one slot only the newest event of a
batch matters; the times come once, with SlotOpened. Both statements return the rows they wrote:
whole slots, which is what the change feed announces.
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar
from uuid import UUID

from booking.events.envelope import Event, SlotChange
from booking.events.facts import SlotOpened
from projector.guards.newer_version_only import newer_version_only
from projector.projections.read_model import Fold, ReadModel, Write, column

WHOLE_SLOT = """s.slot_id, s.resource_id, s.starts_at, s.ends_at, s.state, s.capacity,
    s.overbooking_units, s.held, s.confirmed, s.remaining, s.version"""

OPEN_SLOTS = f"""
INSERT INTO read_model.slot AS s (slot_id, resource_id, starts_at, ends_at, state, capacity,
    overbooking_units, held, confirmed, version)
SELECT * FROM unnest($1::text::uuid[], $2::text::uuid[], $3::text::timestamptz[], $4::text::timestamptz[],
    $5::text::text[], $6::text::int[], $7::text::int[], $8::text::int[], $9::text::int[],
    $10::text::bigint[])
ON CONFLICT (slot_id) DO UPDATE
SET state = excluded.state, capacity = excluded.capacity,
    overbooking_units = excluded.overbooking_units, held = excluded.held,
    confirmed = excluded.confirmed, version = excluded.version
WHERE {newer_version_only("s", "excluded")}
RETURNING {WHOLE_SLOT}
"""

CHANGE_SLOTS = f"""
UPDATE read_model.slot AS s
SET state = n.state, capacity = n.capacity, overbooking_units = n.overbooking_units, held = n.held,
    confirmed = n.confirmed, version = n.version
FROM unnest($1::text::uuid[], $2::text::text[], $3::text::int[], $4::text::int[],
    $5::text::int[], $6::text::int[], $7::text::bigint[])
    AS n(slot_id, state, capacity, overbooking_units, held, confirmed, version)
WHERE s.slot_id = n.slot_id AND {newer_version_only("s", "n")}
RETURNING {WHOLE_SLOT}
"""


class Availability(ReadModel):
    """Slots opened or touched in a batch."""

    TABLES = ("slot",)

    def __init__(self) -> None:
        self._opened: dict[UUID, SlotOpened] = {}
        self._slots: dict[UUID, SlotChange] = {}

    def opened(self, event: Event, fact: SlotOpened) -> None:
        """A slot can be booked."""
        for slot in event.slots:
            self._opened[slot.slot_id] = fact
            self._slots[slot.slot_id] = slot

    def touched(self, event: Event, _: object) -> None:
        """Slots were booked, returned, resized, closed or reopened."""
        for slot in event.slots:
            self._slots[slot.slot_id] = slot

    FOLDS: ClassVar[Mapping[str, Fold]] = {
        "SlotOpened": opened,
        **dict.fromkeys(
            (
                *("SlotResized", "SlotClosed", "SlotReopened", "HoldPlaced", "HoldReleased"),
                *("HoldExpired", "BookingConfirmed", "BookingCancelled", "BookingRescheduled"),
            ),
            touched,
        ),
    }

    def writes(self) -> Iterator[Write]:
        """Slots opened in this batch whole, all others by what events change."""
        new = [slot for slot in self._slots.values() if slot.slot_id in self._opened]
        if new:
            times = [self._opened[slot.slot_id] for slot in new]
            yield Write(
                OPEN_SLOTS,
                (
                    column([slot.slot_id for slot in new]),
                    column([slot.resource_id for slot in new]),
                    column([time.starts_at for time in times]),
                    column([time.ends_at for time in times]),
                    column([slot.state for slot in new]),
                    column([slot.capacity for slot in new]),
                    column([slot.overbooking_units for slot in new]),
                    column([slot.held for slot in new]),
                    column([slot.confirmed for slot in new]),
                    column([slot.version for slot in new]),
                ),
                slots=True,
            )
        known = [slot for slot in self._slots.values() if slot.slot_id not in self._opened]
        if known:
            yield Write(
                CHANGE_SLOTS,
                (
                    column([slot.slot_id for slot in known]),
                    column([slot.state for slot in known]),
                    column([slot.capacity for slot in known]),
                    column([slot.overbooking_units for slot in known]),
                    column([slot.held for slot in known]),
                    column([slot.confirmed for slot in known]),
                    column([slot.version for slot in known]),
                ),
                slots=True,
            )
