"""Make a held booking final."""

from uuid import UUID

from msgspec import Struct

from booking.commands.command import Call, Command


class ConfirmBooking(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From held, also past expires_at while unreclaimed. Repeated: 200, no event.

    An expired hold still owns its units until somebody takes them back, so a late confirm succeeds.
    """

    def command(self, call: Call, booking_id: UUID) -> Command:
        """The order about this booking."""
        return Command("ConfirmBooking", call, booking_id)
