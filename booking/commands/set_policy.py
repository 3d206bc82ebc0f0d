"""Change the rules of a resource, for the bookings and slots to come."""

from msgspec import Struct

from booking.model import HoldSeconds, OverbookingUnits, UnitsMax


class SetPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole policy: what is left out would be guessed, so nothing may be. Already so: no event.

    Live bookings stay as they are, also above a new limit; open slots keep their overbooking_units.
    """

    hold_seconds: HoldSeconds
    units_per_booking_max: UnitsMax | None
    units_per_customer_max: UnitsMax | None
    overbooking_units: OverbookingUnits
