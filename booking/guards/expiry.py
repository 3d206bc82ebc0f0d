"""Which holds are past their time, by the database's clock, oldest first.

Looking decides nothing: a hold owns its units until `ExpireHold` is decided like any other command,
and by then it may be confirmed, extended or gone. The index `holds_by_expiry` makes a page cheap
however many bookings there are.
"""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg

PAST_THEIR_TIME = """
SELECT booking_id, expires_at, clock_timestamp() + make_interval(secs => $2) AS deadline
FROM booking.booking
WHERE state = 'held' AND expires_at <= clock_timestamp()
  AND (expires_at, booking_id) > ($3, $4)
ORDER BY expires_at, booking_id
LIMIT $1
"""


class PastHold(NamedTuple):
    """A hold past its time, and until when (database time) it may still be decided about."""

    booking_id: UUID
    expires_at: datetime
    deadline: datetime


async def past_their_time(
    pool: asyncpg.Pool, *, after: PastHold | None, limit: int, deadline_s: float
) -> list[PastHold]:
    """The next page of them, behind the last one of the page before.

    Raises:
        asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError: the database cannot
            be asked now.
    """
    last = (after.expires_at, after.booking_id) if after else (_BEFORE_ALL, UUID(int=0))
    rows = await pool.fetch(PAST_THEIR_TIME, limit, deadline_s, *last)
    return [PastHold(*row) for row in rows]


_BEFORE_ALL = datetime.fromisoformat("1970-01-01T00:00:00Z")
