"""Let a hold last longer."""

from uuid import UUID

from msgspec import Struct

from booking.commands.command import Call, Command
from booking.model import HoldSeconds


class ExtendHold(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From held: expires at the later of what it did and now + `hold_seconds`; never earlier.

    Without `hold_seconds` the least of the resources' policies holds, which is also the longest.
    """

    hold_seconds: HoldSeconds | None = None

    def command(self, call: Call, booking_id: UUID) -> Command:
        """The order about this booking."""
        return Command("ExtendHold", call, booking_id, hold_seconds=self.hold_seconds)
