"""The calendars of a query node: which are held, how they come in, and when they go.

A page of availability costs a database a scan and a hundred rows; from a calendar it costs a join of
bytes. A calendar comes in by one reading of the tables, is kept up by the change feed, and goes when
a change may have been missed: the rules of the replica, for a whole resource instead of single slots.
"""

import asyncio
from collections import OrderedDict
from datetime import datetime
from uuid import UUID

import asyncpg

from projector.queries.find_calendar import find_calendar
from projector.queries.found import Found
from projector.replica.follower import Follower
from projector.replica.resource_calendar import Calendar, PageSlot

SLOTS_OF_ONE_MAX = 10_000
"""A resource with more is read from the tables, page by page."""
SLOTS_MAX = 100_000
"""Of all calendars; about 1 kB each (docs/operations.md). The one not read for longest goes first.
Looked at when one comes in; what those that are held grow by is counted then."""
READ_AGAIN_MAX = 3


class Calendars:
    """The calendars of one query node; without a follower or without a feed none is kept."""

    def __init__(self, read_model: asyncpg.Pool, follower: Follower) -> None:
        self._read_model = read_model
        self._follower = follower
        self._held: OrderedDict[UUID, Calendar] = OrderedDict()
        self._too_large: set[UUID] = set()
        self._drops = -1
        self._being_read: dict[UUID, asyncio.Task[None]] = {}

    async def find(
        self,
        *,
        resource_id: UUID,
        starts_from: datetime,
        starts_before: datetime,
        units: int | None,
        after: tuple[datetime, UUID] | None,
        limit: int,
    ) -> Found[list[PageSlot]] | None:
        """A page as of this node's position (or of the reading, if that is further); None: not held.

        Raises:
            OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError: the tables cannot
                be read.
        """
        calendar = self._there(resource_id)
        if calendar is None:
            if resource_id in self._too_large or not self._follower.replica.listening:
                return None
            await self._read_with_others(resource_id)
            calendar = self._there(resource_id)  # unless it missed a change since it was read
        standing = self._follower.standing
        if calendar is None or standing is None:
            return None
        if calendar.ahead is not None:
            if calendar.ahead.position > standing.position:
                standing = calendar.ahead
            else:
                calendar.ahead = None
        slots, suspect = calendar.page(
            starts_from, starts_before, units=units, after=after, limit=limit
        )
        return Found(
            epoch=standing.epoch,
            position=standing.position,
            as_of=standing.as_of,
            rebuilding=False,
            suspect=suspect or calendar.lacks_some,
            value=slots,
        )

    def _there(self, resource_id: UUID) -> Calendar | None:
        replica = self._follower.replica
        if self._drops != replica.drops or not replica.listening:
            for held in self._held.values():
                self._follower.watchers.remove(held)
            self._held.clear()
            self._too_large.clear()
            self._drops = replica.drops
        calendar = self._held.get(resource_id)
        if calendar is None:
            return None
        if calendar.missed_some or len(calendar) > SLOTS_OF_ONE_MAX:
            self._let_go(resource_id)
            return None
        self._held.move_to_end(resource_id)
        return calendar

    async def _read_with_others(self, resource_id: UUID) -> None:
        """Those who miss it at the same time share the reading of it."""
        reading = self._being_read.get(resource_id)
        if reading is None:
            reading = asyncio.create_task(self._read(resource_id), name="calendar")
            self._being_read[resource_id] = reading
            reading.add_done_callback(lambda _: self._being_read.pop(resource_id, None))
        await asyncio.shield(reading)

    async def _read(self, resource_id: UUID) -> None:
        """Listen first, then read; what was heard meanwhile is merged by version."""
        calendar, watchers = Calendar(resource_id), self._follower.watchers
        watchers.add(calendar)
        kept = False
        try:
            kept = await self._fill(calendar, resource_id)
        finally:
            if not kept:
                watchers.remove(calendar)

    async def _fill(self, calendar: Calendar, resource_id: UUID) -> bool:
        """Whether the calendar holds everything now, and nothing was missed meanwhile."""
        follower = self._follower
        replica, drops = follower.replica, follower.replica.drops
        since = follower.standing.position if follower.standing is not None else 0
        for _ in range(READ_AGAIN_MAX):
            read = await find_calendar(self._read_model, resource_id, slots_max=SLOTS_OF_ONE_MAX)
            if len(read.slots) > SLOTS_OF_ONE_MAX:
                self._too_large.add(resource_id)
                return False
            at = read.at
            if at is None:
                return False
            await follower.due.keep_back(at.as_of)
            standing = follower.standing
            if (
                standing is None
                or not replica.listening
                or drops != replica.drops
                or calendar.missed_some
                or (at.epoch, at.generation) != (standing.epoch, standing.generation)
            ):
                return False
            if at.position >= since:
                calendar.ahead = at if at.position > standing.position else None
                calendar.begin_with(read)
                self._keep(calendar, resource_id)
                return True
        return False

    def _keep(self, calendar: Calendar, resource_id: UUID) -> None:
        self._there(resource_id)  # lets go of what is no longer true
        self._held[resource_id] = calendar
        # One more for each: of resources without a slot there may be any number, too.
        slots = sum(1 + len(held) for held in self._held.values())
        while slots > SLOTS_MAX and len(self._held) > 1:
            oldest = next(iter(self._held))
            slots -= 1 + len(self._held[oldest])
            self._let_go(oldest)

    def _let_go(self, resource_id: UUID) -> None:
        self._follower.watchers.remove(self._held.pop(resource_id))
