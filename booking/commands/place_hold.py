"""Take units for a while: they are out of sale until the booking is confirmed, released or cancelled."""

from uuid import UUID

from msgspec import Struct

from booking.commands.command import Call, Command
from booking.model import HoldSeconds, Lines, merged


class PlaceHold(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="mode", tag="hold"
):
    """All lines or none. Without `hold_seconds` the least of the resources' policies holds."""

    customer_id: UUID
    lines: Lines
    booking_id: UUID | None = None
    hold_seconds: HoldSeconds | None = None

    def command(self, call: Call, booking_id: UUID) -> Command:
        """The order; `booking_id` is the client's, or a new one."""
        return Command(
            "PlaceHold", call, booking_id, self.customer_id, self.hold_seconds, merged(self.lines)
        )
