"""Resources: name, time zone and policy, as bookers see them."""

from collections.abc import Iterator, Mapping
from typing import ClassVar
from uuid import UUID

from msgspec import Struct

from booking.events.envelope import Event
from booking.events.facts import Policy, PolicyChanged, ResourceCreated
from projector.guards.newer_version_only import newer_version_only
from projector.projections.read_model import Fold, ReadModel, Write

WRITE_RESOURCES = f"""
INSERT INTO read_model.resource AS r (resource_id, name, time_zone, hold_seconds,
    units_per_booking_max, units_per_customer_max, overbooking_units, version)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::int[], $6::int[], $7::int[],
    $8::bigint[])
ON CONFLICT (resource_id) DO UPDATE
SET name = excluded.name, time_zone = excluded.time_zone, hold_seconds = excluded.hold_seconds,
    units_per_booking_max = excluded.units_per_booking_max,
    units_per_customer_max = excluded.units_per_customer_max,
    overbooking_units = excluded.overbooking_units, version = excluded.version
WHERE {newer_version_only("r", "excluded")}
"""

WRITE_POLICIES = f"""
UPDATE read_model.resource AS r
SET hold_seconds = n.hold_seconds, units_per_booking_max = n.units_per_booking_max,
    units_per_customer_max = n.units_per_customer_max, overbooking_units = n.overbooking_units,
    version = n.version
FROM unnest($1::uuid[], $2::int[], $3::int[], $4::int[], $5::int[], $6::bigint[])
    AS n(resource_id, hold_seconds, units_per_booking_max, units_per_customer_max,
         overbooking_units, version)
WHERE r.resource_id = n.resource_id AND {newer_version_only("r", "n")}
"""


class ResourceState(Struct, kw_only=True):
    """A resource as it stands; `name` and `time_zone` are None when only its policy changed."""

    version: int
    policy: Policy
    name: str | None = None
    time_zone: str | None = None


class Resources(ReadModel):
    """Resources created or changed in a batch."""

    TABLES = ("resource",)

    def __init__(self) -> None:
        self._resources: dict[UUID, ResourceState] = {}

    def created(self, _: Event, fact: ResourceCreated) -> None:
        """A resource exists."""
        self._resources[fact.resource_id] = ResourceState(
            version=fact.version, policy=fact.policy, name=fact.name, time_zone=fact.time_zone
        )

    def policy_changed(self, _: Event, fact: PolicyChanged) -> None:
        """The rules for future bookings changed; name and time zone did not."""
        known = self._resources.setdefault(
            fact.resource_id, ResourceState(version=fact.version, policy=fact.policy)
        )
        known.version, known.policy = fact.version, fact.policy

    FOLDS: ClassVar[Mapping[str, Fold]] = {
        "ResourceCreated": created,
        "PolicyChanged": policy_changed,
    }

    def writes(self) -> Iterator[Write]:
        """Whole resources first, then policies of resources that were there before."""
        whole = [(key, r) for key, r in self._resources.items() if r.name is not None]
        if whole:
            yield Write(
                WRITE_RESOURCES,
                (
                    [key for key, _ in whole],
                    [r.name for _, r in whole],
                    [r.time_zone for _, r in whole],
                    *_rules([r for _, r in whole]),
                ),
            )
        partial = [(key, r) for key, r in self._resources.items() if r.name is None]
        if partial:
            yield Write(
                WRITE_POLICIES, ([key for key, _ in partial], *_rules([r for _, r in partial]))
            )


def _rules(states: list[ResourceState]) -> tuple[list[int | None], ...]:
    return (
        [r.policy.hold_seconds for r in states],
        [r.policy.units_per_booking_max for r in states],
        [r.policy.units_per_customer_max for r in states],
        [r.policy.overbooking_units for r in states],
        [r.version for r in states],
    )
