"""Take a slot off sale."""

from uuid import UUID

from msgspec import Struct

from booking.commands.command import Call, Command


class CloseSlot(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No new units are given out; bookings it has can still be confirmed, released and cancelled.

    Already closed: no event.
    """

    def command(self, call: Call, slot_id: UUID) -> Command:
        """The order about this slot."""
        return Command("CloseSlot", call, slot_id=slot_id)
