"""Give a hold's units back before they were paid for."""

from uuid import UUID

from msgspec import Struct

from booking.commands.command import Call, Command


class ReleaseHold(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From held. Repeated: 200, no event."""

    def command(self, call: Call, booking_id: UUID) -> Command:
        """The order about this booking."""
        return Command("ReleaseHold", call, booking_id)
