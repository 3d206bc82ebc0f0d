"""The sweeper expires holds that nobody asked back: a client of the batcher like any other.

It only tidies up. A booking that needs the units of an expired hold gets them at once
(`booking.decide` answers `again`), so whether the sweeper runs, lags or is off never shows as a false
"sold out"; it keeps what is *shown* close to what could be had. Several at once are safe: a hold
leaves its state once, and whoever comes second finds that nothing is left to do.
"""

import asyncio

import asyncpg
import structlog
from msgspec import Struct

from booking.batcher import BATCH_SIZE_MAX, DEADLINE_S, Batcher
from booking.commands import Decision, expire_hold
from booking.faults import Draining, QueueFull
from booking.guards import expiry

INTERVAL_S = 1.0
PAGE_SIZE = BATCH_SIZE_MAX // 2
"""Half a batch: those who wait for a decision keep the other half."""

_log = structlog.get_logger(__name__)


class Swept(Struct, frozen=True, kw_only=True):
    """What one run found past its time, and how much of it is expired now."""

    found: int
    expired: int


class Sweeper:
    """Expires what is past its time, page by page, oldest first."""

    def __init__(self, pool: asyncpg.Pool, batcher: Batcher, *, page_size: int = PAGE_SIZE) -> None:
        self._pool = pool
        self._batcher = batcher
        self._page_size = page_size

    async def run_once(self) -> Swept:
        """Every hold past its time when it was looked for; fewer when the queue is full or drains.

        Raises:
            asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError: the database
                cannot be asked now.
        """
        found = expired = 0
        last: expiry.PastHold | None = None
        while True:
            page = await expiry.past_their_time(
                self._pool, after=last, limit=self._page_size, deadline_s=DEADLINE_S
            )
            waiting: list[asyncio.Future[Decision]] = []
            crowded = False
            for hold in page:
                try:
                    order = expire_hold(hold.booking_id, deadline=hold.deadline)
                    waiting.append(self._batcher.submit(order))
                except (QueueFull, Draining):  # clients come first; what is left is found again
                    crowded = True
                    break
            decisions = await asyncio.gather(*waiting, return_exceptions=True)
            found += len(page)
            expired += sum(_is_expired(decision) for decision in decisions)
            if crowded or len(page) < self._page_size:
                break
            last = page[-1]
        if found:
            _log.info("swept", found=found, expired=expired)
        return Swept(found=found, expired=expired)


def _is_expired(decision: Decision | BaseException) -> bool:
    """A fault is nobody's answer here: the hold is found again by the next run."""
    if isinstance(decision, BaseException):
        _log.warning("hold_not_expired", error=repr(decision))
        return False
    return decision.accepted and '"state":"expired"' in decision.body
