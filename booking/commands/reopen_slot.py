"""Put a closed slot back on sale."""

from uuid import UUID

from msgspec import Struct

from booking.commands.command import Call, Command


class ReopenSlot(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A slot whose end has passed stays without sale all the same. Already open: no event."""

    def command(self, call: Call, slot_id: UUID) -> Command:
        """The order about this slot."""
        return Command("ReopenSlot", call, slot_id=slot_id)
