"""Take a hold's units back after its time. The system's own command: no client can send it."""

from datetime import datetime
from uuid import UUID

from booking.commands.command import Call, Command
from booking.identities import uuid7

SYSTEM = "system"


def expire_hold(booking_id: UUID, *, deadline: datetime) -> Command:
    """The order about this hold; `deadline` in database time.

    It has no fingerprint, so it is not recorded: whoever asks twice finds the hold expired, extended
    or confirmed, and nothing happens.
    """
    call = Call(
        caller=SYSTEM,
        command_id=f"expire:{booking_id}:{uuid7()}",
        fingerprint=None,
        deadline=deadline,
    )
    return Command("ExpireHold", call, booking_id)
