"""The statements of an audit: each reads one page and, in the same snapshot, where the log ends.

No statement looks at more than a page, so no snapshot grows old: bookings go on, and dead rows are
cleared away behind them. The connection takes the role booking_writer, which may read all of this,
and is made read-only, so nothing can be written by mistake.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol
from uuid import UUID

import asyncpg

from booking.audit.entities import UNKNOWN, Booking, microseconds
from booking.audit.fold import use_key


class Page(NamedTuple):
    """Rows by key, ascending, as they are when the log ends at `head`."""

    head: int
    rows: list[tuple[int, asyncpg.Record]]
    full: bool
    """Then more rows may follow."""


class ReadPage(Protocol):
    """Reads the rows from key `start` on."""

    async def __call__(
        self, connection: "asyncpg.Connection[asyncpg.Record]", start: int, rows_max: int
    ) -> Page:
        """At most `rows_max` rows, by key."""


AstrayTable = Literal["booking_line", "command_record"]


READ_ONLY = "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"


async def make_read_only(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Whatever this connection is asked from now on, it writes nothing."""
    await connection.execute(READ_ONLY)


ENDS = """
SELECT head.epoch, head."position" AS head,
       date_part('epoch', head.recorded_at) AS recorded_s,
       coalesce((SELECT max(e."position") FROM booking.event_log AS e), 0) AS newest
FROM booking.log_head AS head
"""


class Ends(NamedTuple):
    """Where the log ends: by its head, and by its newest event."""

    epoch: UUID
    head: int
    recorded_s: float
    newest: int


async def ends(connection: "asyncpg.Connection[asyncpg.Record]") -> Ends:
    """Read both ends of one moment."""
    (row,) = await connection.fetch(ENDS)
    return Ends(row["epoch"], row["head"], row["recorded_s"], row["newest"])


# A number is read faster than a moment, and in this century it tells microseconds apart.
EVENTS = """
SELECT "position", event_id, type, schema, date_part('epoch', recorded_at), booking_id, resource_id, slot_ids, slots, data
FROM booking.event_log WHERE "position" > $1 AND "position" <= $2 ORDER BY "position" LIMIT $3
"""


async def events(
    connection: "asyncpg.Connection[asyncpg.Record]", after: int, last: int, rows_max: int
) -> list[asyncpg.Record]:
    """Read the events after a position, up to one that has been committed; so nothing is missed.

    Each is the members of a `LoggedEvent`, which is made when it is folded: thousands made together would
    be gone through by the garbage collector.
    """
    return await connection.fetch(EVENTS, after, last, rows_max)


EVENT_IDS = """
SELECT "position", event_id
FROM booking.event_log WHERE "position" > $1 AND "position" <= $2 ORDER BY "position" LIMIT $3
"""


async def event_ids(
    connection: "asyncpg.Connection[asyncpg.Record]", after: int, last: int, rows_max: int
) -> list[tuple[int, int]]:
    """Read positions and ids of the events after a position, up to one that has been committed."""
    rows = await connection.fetch(EVENT_IDS, after, last, rows_max)
    return [(row["position"], row["event_id"].int) for row in rows]


RESOURCES = """
SELECT head."position" AS head, page.*
FROM booking.log_head AS head LEFT JOIN LATERAL (
    SELECT * FROM booking.resource WHERE resource_id >= $1 ORDER BY resource_id LIMIT $2
) AS page ON true ORDER BY page.resource_id
"""


async def resources(
    connection: "asyncpg.Connection[asyncpg.Record]", start: int, rows_max: int
) -> Page:
    """Read resources by id."""
    rows = await connection.fetch(RESOURCES, UUID(int=start), rows_max)
    return _page(rows, "resource_id", rows_max)


SLOTS = """
SELECT head."position" AS head, page.*
FROM booking.log_head AS head LEFT JOIN LATERAL (
    SELECT * FROM booking.slot WHERE slot_id >= $1 ORDER BY slot_id LIMIT $2
) AS page ON true ORDER BY page.slot_id
"""


async def slots(
    connection: "asyncpg.Connection[asyncpg.Record]", start: int, rows_max: int
) -> Page:
    """Read slots by id."""
    rows = await connection.fetch(SLOTS, UUID(int=start), rows_max)
    return _page(rows, "slot_id", rows_max)


# The lines are looked up booking by booking: a join might read the whole table for every page.
BOOKINGS = """
SELECT head."position" AS head, page.*, lines.*
FROM booking.log_head AS head LEFT JOIN LATERAL (
    SELECT booking_id, customer_id, state, version, expires_at, "position"
    FROM booking.booking WHERE booking_id >= $1 ORDER BY booking_id LIMIT $2
) AS page ON true LEFT JOIN LATERAL (
    SELECT array_agg(l.slot_id ORDER BY l.slot_id) AS slot_ids,
           array_agg(l.units ORDER BY l.slot_id) AS units
    FROM booking.booking_line AS l WHERE l.booking_id = page.booking_id
) AS lines ON true ORDER BY page.booking_id
"""


async def bookings(
    connection: "asyncpg.Connection[asyncpg.Record]", start: int, rows_max: int
) -> Page:
    """Read bookings with their lines by id."""
    rows = await connection.fetch(BOOKINGS, UUID(int=start), rows_max)
    return _page(rows, "booking_id", rows_max)


def booking_of(row: asyncpg.Record | None) -> Booking:
    """The booking of a row of `bookings`; UNKNOWN when there is none."""
    if row is None:
        return UNKNOWN
    return Booking(
        row["state"],
        row["version"],
        row["position"],
        row["customer_id"].int,
        None if row["expires_at"] is None else microseconds(row["expires_at"]),
        tuple(
            (slot_id.int, units)
            for slot_id, units in zip(row["slot_ids"] or (), row["units"] or (), strict=True)
        ),
    )


USES = """
SELECT head."position" AS head, page.*
FROM booking.log_head AS head LEFT JOIN LATERAL (
    SELECT slot_id, customer_id, units FROM booking.customer_use
    WHERE (slot_id, customer_id) >= ($1, $2) ORDER BY slot_id, customer_id LIMIT $3
) AS page ON true ORDER BY page.slot_id, page.customer_id
"""


async def uses(connection: "asyncpg.Connection[asyncpg.Record]", start: int, rows_max: int) -> Page:
    """Read customers' uses of slots by slot and customer."""
    rows = await connection.fetch(
        USES, UUID(int=start >> 128), UUID(int=start & (1 << 128) - 1), rows_max
    )
    head, found = rows[0]["head"], [row for row in rows if row["slot_id"] is not None]
    keyed = [(use_key(row["slot_id"].int, row["customer_id"].int), row) for row in found]
    return Page(head, keyed, len(found) == rows_max)


# Lines and answers that are kept are inserted and deleted, never updated, so they stay in the block where
# they are: a range of blocks holds them whatever their keys are, and only what is astray comes over.
BLOCKS = """
SELECT (pg_relation_size($1::text::regclass) + current_setting('block_size')::bigint - 1)
       / current_setting('block_size')::bigint
"""
LINES_ASTRAY = """
SELECT head."position" AS head, line.booking_id, line.slot_id, line.units
FROM booking.log_head AS head CROSS JOIN booking.booking_line AS line
WHERE line.ctid >= $1 AND line.ctid < $2
  -- Looked up line by line, as above.
  AND (SELECT b.version FROM booking.booking AS b WHERE b.booking_id = line.booking_id) IS NULL
"""
ANSWERS_ASTRAY = """
SELECT head."position" AS head, answer.caller, answer.command_id, answer."position"
FROM booking.log_head AS head CROSS JOIN booking.command_record AS answer
WHERE answer.ctid >= $1 AND answer.ctid < $2
  AND answer.epoch = head.epoch AND answer."position" > head."position"
"""
ASTRAY = {"booking_line": LINES_ASTRAY, "command_record": ANSWERS_ASTRAY}


async def blocks(connection: "asyncpg.Connection[asyncpg.Record]", table: AstrayTable) -> int:
    """How many blocks a table has."""
    (row,) = await connection.fetch(BLOCKS, f"booking.{table}")
    return int(row[0])


async def astray(
    connection: "asyncpg.Connection[asyncpg.Record]", table: AstrayTable, first: int, end: int
) -> list[asyncpg.Record]:
    """Read from the blocks `first` to `end`, without it: lines without a booking, or answers beyond the head."""
    return await connection.fetch(ASTRAY[table], (first, 0), (end, 0))


def _page(rows: Sequence[asyncpg.Record], key: str, rows_max: int) -> Page:
    found = [(row[key].int, row) for row in rows if row[key] is not None]
    return Page(rows[0]["head"], found, len(found) == rows_max)
