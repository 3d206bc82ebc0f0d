"""Give a booking to another customer."""

from uuid import UUID

from msgspec import Struct

from booking.commands.command import Call, Command


class TransferBooking(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From held and confirmed. No capacity is touched; the new customer's limit counts.

    The same customer: no event.
    """

    customer_id: UUID

    def command(self, call: Call, booking_id: UUID) -> Command:
        """The order about this booking."""
        return Command("TransferBooking", call, booking_id, self.customer_id)
