"""A second fold of the log, small enough for any log: what the totals of the rows must come to.

It looks at events alone, one by one, and knows neither projections nor batches nor guards; so what
it expects and what the rows say agree only if no event was lost, told twice or told to the wrong
table. Counts, versions, units and positions are added up, each over all rows.
"""

from collections import Counter
from collections.abc import Mapping

from msgspec import Struct

from booking.events.envelope import Event
from booking.events.facts import BookingRescheduled, BookingTaken
from projector.guards.checkpoint_compare_and_set import Connection
from projector.rebuild.shadow import BUILD_TIMEOUT_S, NO_HURRY
from projector.rebuild.statements import in_shadow

# Of each table: what is added up, in one statement.
TOTALS: Mapping[str, str] = {
    "resource": """
        SELECT count(*) AS resources, sum(version) AS resource_versions FROM read_model.resource
    """,
    "slot": """
        SELECT count(*) AS slots, sum(version) AS slot_versions, sum(held + confirmed) AS units
        FROM read_model.slot
    """,
    "booking": """
        SELECT count(*) AS bookings, sum(version) AS booking_versions,
               sum(created_position) AS first_positions
        FROM read_model.booking
    """,
    "booking_line": """
        SELECT count(*) AS lines FROM read_model.booking_line
    """,
    "booked": """
        SELECT sum(lines) AS lines, sum(units) FILTER (WHERE state IN ('held', 'confirmed')) AS units
        FROM read_model.booked
    """,
    "slot_history": """
        SELECT count(position) AS slot_versions, sum(position) AS slot_positions
        FROM read_model.slot_history, unnest(positions) AS position
    """,
    "booking_event": """
        SELECT count(*) AS later_versions, sum(position) AS later_positions
        FROM read_model.booking_event
    """,
    "activity": """
        SELECT sum(held + confirmed + released + expired + cancelled) AS entered
        FROM read_model.activity
    """,
}


class Difference(Struct, frozen=True, kw_only=True):
    """A total that is not what the log says it must be."""

    table: str
    total: str
    rows_say: int
    log_says: int

    def __str__(self) -> str:
        """In words."""
        return (
            f"{self.total.replace('_', ' ')} of {self.table} come to {self.rows_say:,}, "
            f"the log says {self.log_says:,}"
        )


class DoesNotAddUp(Exception):
    """The rows are not what the log says; `str()` of it names the totals that differ."""


def add(totals: Counter[str], event: Event, fact: Struct) -> None:
    """Take in one event."""
    touched = len(event.slots)
    if touched:
        totals["slot_versions"] += touched
        totals["slot_positions"] += touched * event.position
        totals["units"] += sum(slot.units for slot in event.slots)
        if event.type == "SlotOpened":
            totals["slots"] += touched
    if event.booking_id is not None:
        totals["booking_versions"] += 1
        if isinstance(fact, BookingTaken) and fact.before is None:
            totals["bookings"] += 1
            totals["first_positions"] += event.position
            totals["lines"] += len(fact.lines)
        else:
            totals["later_versions"] += 1
            totals["later_positions"] += event.position
            if isinstance(fact, BookingRescheduled):
                totals["lines"] += len(fact.lines) - len(fact.lines_before)
        if touched and not isinstance(fact, BookingRescheduled):
            totals["entered"] += (
                1 if touched == 1 else len({slot.resource_id for slot in event.slots})
            )
    elif not touched:
        totals["resource_versions"] += 1
        totals["resources"] += event.type == "ResourceCreated"


async def differences(connection: Connection, totals: Mapping[str, int]) -> list[Difference]:
    """Add up the rows of the shadow and hold them against the totals of the log."""
    found: list[Difference] = []
    for table, statement in TOTALS.items():
        async with connection.transaction():
            await connection.execute(NO_HURRY)
            (row,) = await connection.fetch(in_shadow(statement), timeout=BUILD_TIMEOUT_S)
        found += [
            Difference(table=table, total=total, rows_say=said or 0, log_says=totals.get(total, 0))
            for total, said in row.items()
            if (said or 0) != totals.get(total, 0)
        ]
    return found
