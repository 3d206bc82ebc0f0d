"""Change how many units of a slot there are."""

from uuid import UUID

from msgspec import Struct

from booking.commands.command import Call, Command
from booking.model import Capacity, OverbookingUnits


class ResizeSlot(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Never below what is held and confirmed; expired holds give their units back first.

    `overbooking_units` left out stays as it is. Already so: no event.
    """

    capacity: Capacity
    overbooking_units: OverbookingUnits | None = None

    def command(self, call: Call, slot_id: UUID) -> Command:
        """The order about this slot."""
        return Command(
            "ResizeSlot",
            call,
            slot_id=slot_id,
            capacity=self.capacity,
            overbooking_units=self.overbooking_units,
        )
