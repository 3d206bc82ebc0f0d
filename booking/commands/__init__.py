"""The menu of what can be asked of the write side: one command, one file.

Booking commands share batches (`booking.batcher`); inventory commands are decided singly.
"""

from booking.commands.book_now import BookNow
from booking.commands.cancel_booking import CancelBooking
from booking.commands.command import Call, Command, Decision
from booking.commands.confirm_booking import ConfirmBooking
from booking.commands.create_resource import CreateResource
from booking.commands.open_slots import OpenSlots
from booking.commands.place_hold import PlaceHold
from booking.commands.release_hold import ReleaseHold

BOOKING_COMMANDS = (PlaceHold, BookNow, ConfirmBooking, ReleaseHold, CancelBooking)
INVENTORY_COMMANDS = (CreateResource, OpenSlots)

__all__ = [
    "BOOKING_COMMANDS",
    "INVENTORY_COMMANDS",
    "BookNow",
    "Call",
    "CancelBooking",
    "Command",
    "ConfirmBooking",
    "CreateResource",
    "Decision",
    "OpenSlots",
    "PlaceHold",
    "ReleaseHold",
]
