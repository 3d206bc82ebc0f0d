"""The menu of what can be asked of the write side: one command, one file.

Commands about bookings, and those that change a slot, share batches (`booking.batcher`); the rest of
the back office is decided one at a time (`booking.inventory`).
"""

from booking.commands.book_now import BookNow
from booking.commands.cancel_booking import CancelBooking
from booking.commands.close_slot import CloseSlot
from booking.commands.command import Call, Command, Decision
from booking.commands.confirm_booking import ConfirmBooking
from booking.commands.create_resource import CreateResource
from booking.commands.expire_hold import expire_hold
from booking.commands.extend_hold import ExtendHold
from booking.commands.open_slots import OpenSlots
from booking.commands.place_hold import PlaceHold
from booking.commands.release_hold import ReleaseHold
from booking.commands.reopen_slot import ReopenSlot
from booking.commands.reschedule_booking import RescheduleBooking
from booking.commands.resize_slot import ResizeSlot
from booking.commands.set_policy import SetPolicy
from booking.commands.transfer_booking import TransferBooking

BOOKING_COMMANDS = (
    PlaceHold,
    BookNow,
    ConfirmBooking,
    ReleaseHold,
    CancelBooking,
    ExtendHold,
    RescheduleBooking,
    TransferBooking,
)
SLOT_COMMANDS = (ResizeSlot, CloseSlot, ReopenSlot)
INVENTORY_COMMANDS = (CreateResource, SetPolicy, OpenSlots)

__all__ = [
    "BOOKING_COMMANDS",
    "INVENTORY_COMMANDS",
    "SLOT_COMMANDS",
    "BookNow",
    "Call",
    "CancelBooking",
    "CloseSlot",
    "Command",
    "ConfirmBooking",
    "CreateResource",
    "Decision",
    "ExtendHold",
    "OpenSlots",
    "PlaceHold",
    "ReleaseHold",
    "ReopenSlot",
    "RescheduleBooking",
    "ResizeSlot",
    "SetPolicy",
    "TransferBooking",
    "expire_hold",
]
