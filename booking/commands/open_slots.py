"""Put slots of a resource on sale: all of them or none."""

from datetime import UTC
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct, structs

from booking.model import SLOTS_PER_CALL_MAX, Capacity, Moment


class NewSlot(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One slot: from when to when, and how many units of it there are."""

    starts_at: Moment
    ends_at: Moment
    capacity: Capacity
    slot_id: UUID | None = None

    def __post_init__(self) -> None:
        if self.starts_at >= self.ends_at:
            raise ValueError("ends_at must be later than starts_at")


class OpenSlots(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One event per slot, in the order sent. Slots of a resource may overlap."""

    slots: Annotated[list[NewSlot], Meta(min_length=1, max_length=SLOTS_PER_CALL_MAX)]

    def __post_init__(self) -> None:
        before: set[UUID] = set()
        for place, slot in enumerate(self.slots):
            if slot.slot_id is None:
                continue
            if slot.slot_id in before:
                # Where it is, in the decoder's words: a struct's own check is placed at the whole of it.
                raise ValueError(f"A slot before it has this id - at `$.slots[{place}].slot_id`")
            before.add(slot.slot_id)

    def in_utc(self) -> "OpenSlots":
        """The same order with its moments told in UTC: a key is repeated with it, however they are written."""
        return OpenSlots(
            slots=[
                structs.replace(
                    slot,
                    starts_at=slot.starts_at.astimezone(UTC),
                    ends_at=slot.ends_at.astimezone(UTC),
                )
                for slot in self.slots
            ]
        )
