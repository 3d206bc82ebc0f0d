"""What the relay reads of the event log: where it ends, and what comes after a position.

Positions are dense and commit-ordered since the deciding transaction assigned them, so `position >
cursor` can never pass over an event that commits later. Nothing is written here but the epoch, and
that only by the database's own compare-and-set.
"""

from datetime import datetime
from uuid import UUID

import asyncpg
from msgspec import Struct

from booking.events.envelope import LOG_COLUMNS, LogRow


class LogState(Struct, frozen=True, kw_only=True):
    """The log at one moment, as seen beside a stream that ends at some position."""

    epoch: UUID
    head: int
    event_id_at_tail: UUID | None
    """The id of the log's event at the stream's last position; None when the log has none there."""


class HoleInTheLog(Exception):
    """Positions read were not dense. Nothing may be published past a hole; a person must look."""


# One statement, so head and event are of one snapshot.
STATE_BESIDE = """
SELECT head.epoch, head."position", event.event_id
FROM booking.log_head AS head
LEFT JOIN booking.event_log AS event ON event."position" = $1
"""


async def state_beside(log: asyncpg.Pool, tail: int) -> LogState:
    """Read where the log ends and what it holds at the stream's last position `tail`."""
    (row,) = await log.fetch(STATE_BESIDE, tail)
    return LogState(epoch=row["epoch"], head=row["position"], event_id_at_tail=row["event_id"])


class Head(Struct, frozen=True, kw_only=True):
    """Where the log ended at the moment `at` (database time), or later."""

    epoch: UUID
    position: int
    at: datetime


# One statement in a transaction of its own: transaction_timestamp() is taken when the statement
# arrives, the snapshot afterwards, so what committed before `at` is seen. clock_timestamp() would
# be read after the snapshot, and claim what a commit in between has made untrue.
AFTER = f"""
SELECT head.epoch, head."position" AS ends_at, transaction_timestamp() AS at, event.*
FROM booking.log_head AS head
LEFT JOIN LATERAL (
    SELECT {LOG_COLUMNS} FROM booking.event_log
    WHERE "position" > $1 ORDER BY "position" LIMIT $2
) AS event ON true
ORDER BY event."position"
"""


async def read_after(
    log: asyncpg.Pool, position: int, *, events_max: int
) -> tuple[Head, list[LogRow]]:
    """Read where the log ends and the events after `position`, with a moment before both.

    Raises:
        HoleInTheLog: they do not follow on `position` without a gap, or end before the head does.
    """
    rows = await log.fetch(AFTER, position, events_max)
    epoch, ends_at, at = rows[0][:3]
    head = Head(epoch=epoch, position=ends_at, at=at)
    events = [LogRow(*row[3:]) for row in rows if row["position"] is not None]
    dense = not events or events[-1].position == position + len(events)
    if not dense or len(events) < min(events_max, ends_at - position):
        raise HoleInTheLog(f"The log ends at {ends_at} and has holes after position {position}.")
    return head, events


NEW_EPOCH = "SELECT published.new_epoch($1, $2)"


async def new_epoch(log: asyncpg.Pool, old: UUID, *, seen: UUID) -> UUID:
    """End the epoch `old` unless somebody else has already; return the epoch now in force.

    `seen` is the latest epoch known here; a new one is later.
    """
    epoch: UUID = await log.fetchval(NEW_EPOCH, old, seen)
    return epoch
