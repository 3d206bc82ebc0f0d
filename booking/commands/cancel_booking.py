"""Give a booking's units back, held or confirmed."""

from uuid import UUID

from msgspec import Struct

from booking.commands.command import Call, Command


class CancelBooking(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From held and confirmed. Repeated: 200, no event."""

    def command(self, call: Call, booking_id: UUID) -> Command:
        """The order about this booking."""
        return Command("CancelBooking", call, booking_id)
