"""Name something that has slots: a hall, a room type, a practice."""

from functools import cache
from uuid import UUID
from zoneinfo import available_timezones

from msgspec import Struct, structs

from booking.model import Name, Policy, TimeZone


class CreateResource(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A resource with the policy its slots and bookings start from."""

    name: Name
    time_zone: TimeZone
    resource_id: UUID | None = None
    policy: Policy | None = Policy()

    def __post_init__(self) -> None:
        if self.policy is None:  # null says the same as leaving it out
            structs.force_setattr(self, "policy", Policy())
        if self.time_zone not in _time_zones():
            # Where it is, in the decoder's words: a struct's own check is placed at the whole of it.
            raise ValueError(
                f"{self.time_zone!r} is no known IANA name such as Europe/Amsterdam - at `$.time_zone`"
            )


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones())
