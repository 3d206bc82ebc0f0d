"""Move a booking to other lines: all of them, or it stays as it is."""

from uuid import UUID

from msgspec import Struct

from booking.commands.command import Call, Command
from booking.model import Lines, merged


class RescheduleBooking(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From held and confirmed, which it stays. Only the net difference per slot moves.

    So nobody can take the units a booking keeps, and a slot whose units stay is not touched.
    """

    lines: Lines

    def command(self, call: Call, booking_id: UUID) -> Command:
        """The order about this booking."""
        return Command("RescheduleBooking", call, booking_id, lines=merged(self.lines))
