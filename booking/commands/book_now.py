"""Take units for good, without a hold before."""

from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from booking.commands.command import Call, Command
from booking.model import Lines, merged


class BookNow(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="mode", tag="book"
):
    """All lines or none. Nothing is held, so there is no `hold_seconds` to choose."""

    customer_id: UUID
    lines: Lines
    booking_id: UUID | None = None
    hold_seconds: Annotated[
        None, Meta(extra={"refusal": "With mode book nothing is held: leave hold_seconds out"})
    ] = None

    def command(self, call: Call, booking_id: UUID) -> Command:
        """The order; `booking_id` is the client's, or a new one."""
        return Command("BookNow", call, booking_id, self.customer_id, None, merged(self.lines))
