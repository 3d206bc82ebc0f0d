"""Everything about a resource that must add up, from one snapshot.

Three pages asked one after the other are of three positions, and their numbers do not add up while
people book. Here they are of one: units held and confirmed in `availability` are those of the lines in
`bookings`, and `remaining + held + confirmed = capacity + overbooking_units`.
"""

from uuid import UUID

import asyncpg
from msgspec import Struct

from projector.queries.find_activity import NOT_ALL_COUNTED, ActivityView
from projector.queries.find_availability import SLOT_IS_SUSPECT
from projector.queries.found import CHECKPOINT, WIDTH, Found, columns, fill, found, only_row


class AvailabilityTotals(Struct, frozen=True, kw_only=True):
    """Sums over all slots of a resource."""

    slots: int
    slots_open: int
    capacity: int
    overbooking_units: int
    held: int
    confirmed: int
    remaining: int


class BookedView(Struct, frozen=True, kw_only=True):
    """Lines of bookings in one state, and their units."""

    lines: int = 0
    units: int = 0


class BookingTotals(Struct, frozen=True, kw_only=True):
    """Lines of a resource's bookings by the state of the booking."""

    held: BookedView
    confirmed: BookedView
    released: BookedView
    expired: BookedView
    cancelled: BookedView


class OverviewView(Struct, frozen=True, kw_only=True):
    """A resource at a glance; activity since the beginning of the log."""

    resource_id: UUID
    name: str
    time_zone: str
    availability: AvailabilityTotals
    bookings: BookingTotals
    activity: ActivityView


_WIDTHS = (len(AvailabilityTotals.__struct_fields__), len(ActivityView.__struct_fields__))
_SUMS = ", ".join(
    f"coalesce(sum(a.{name}), 0)::bigint AS {name}" for name in ActivityView.__struct_fields__
)

GET_OVERVIEW = f"""
SELECT {CHECKPOINT}, r.resource_id, r.name, r.time_zone,
       {columns(AvailabilityTotals, "s")}, {columns(ActivityView, "a")},
       b.states, b.lines, b.units, coalesce(s.suspect, false) OR {NOT_ALL_COUNTED} AS suspect
FROM read_model.checkpoint AS c LEFT JOIN read_model.resource AS r ON r.resource_id = $1
CROSS JOIN LATERAL (
    SELECT count(*) AS slots, count(*) FILTER (WHERE s.state = 'open') AS slots_open,
           coalesce(sum(s.capacity), 0)::bigint AS capacity,
           coalesce(sum(s.overbooking_units), 0)::bigint AS overbooking_units,
           coalesce(sum(s.held), 0)::bigint AS held,
           coalesce(sum(s.confirmed), 0)::bigint AS confirmed,
           coalesce(sum(s.remaining), 0)::bigint AS remaining,
           bool_or({SLOT_IS_SUSPECT}) AS suspect
    FROM read_model.slot AS s WHERE s.resource_id = r.resource_id) AS s
CROSS JOIN LATERAL (
    SELECT {_SUMS} FROM read_model.activity AS a WHERE a.resource_id = r.resource_id) AS a
CROSS JOIN LATERAL (
    SELECT array_agg(b.state) AS states, array_agg(b.lines) AS lines, array_agg(b.units) AS units
    FROM read_model.booked AS b WHERE b.resource_id = r.resource_id) AS b
"""


async def get_overview(read_model: asyncpg.Pool, resource_id: UUID) -> Found[OverviewView | None]:
    """The overview of a resource, or None."""
    row = await only_row(read_model, GET_OVERVIEW, resource_id)
    if row["resource_id"] is None:
        return found(row, None, suspect=row["suspect"])
    totals = WIDTH + 3
    activity = totals + _WIDTHS[0]
    states = zip(row["states"] or (), row["lines"] or (), row["units"] or (), strict=True)
    booked = {state: BookedView(lines=lines, units=units) for state, lines, units in states}
    return found(
        row,
        OverviewView(
            resource_id=row["resource_id"],
            name=row["name"],
            time_zone=row["time_zone"],
            availability=fill(AvailabilityTotals, row[totals:activity]),
            bookings=BookingTotals(
                **{
                    state: booked.get(state, BookedView())
                    for state in BookingTotals.__struct_fields__
                }
            ),
            activity=fill(ActivityView, row[activity : activity + _WIDTHS[1]]),
        ),
        suspect=row["suspect"],
    )
