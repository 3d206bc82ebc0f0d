"""The log into the shadow, page by page, by the projections themselves: only the schema is another.

Nobody reads the shadow, so pages are large, and while one is written the next is folded and the one
after it read. Each page of the log is one statement, so no snapshot of the write database lives
longer than that takes. What cannot be taken in is buried here as the projector buries it.
"""

import asyncio
import gc
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg

from booking.edge.ending import end
from booking.edge.progress import Progress
from booking.events.envelope import Event
from booking.events.facts import fact
from projector.consumer.apply import OWN_FAULTS, UNWRITABLE
from projector.guards.checkpoint_compare_and_set import Connection
from projector.guards.dead_letters import (
    BURIED_MAX,
    CLEAR_SUSPECT_SLOTS,
    LAST_EVENTS,
    TooManyDeadLetters,
    keep,
)
from projector.log_reader import event_of, read_letter, read_rows
from projector.projections import PROJECTIONS, Changed, writes
from projector.rebuild.control import add
from projector.rebuild.statements import SCHEMA, in_empty_shadow, in_shadow

PAGE = 10_000
"""Events: 0.1 s of reading, 15 MB; twice as many are no faster."""
PAGE_MIN = 500
"""A page that the server does not give in time is asked for again by halves, down to this."""
READ_TIMEOUT_S = 2.0
YIELD_EVERY = 250
"""Events folded in one go: in between, the loop hands the database its next statement."""


class LogChanged(Exception):
    """The log does not continue where it was read before: it was put back to an older copy."""


class Reached(NamedTuple):
    """How far the shadow has come: its last event, and when that was recorded."""

    position: int
    event_id: UUID | None
    recorded_at: datetime | None


NOWHERE = Reached(0, None, None)


class Page(NamedTuple):
    """A page of the log, and what it changes; or, where an event cannot be taken in, why."""

    rows: Sequence[asyncpg.Record]
    changed: Changed | None
    totals: Counter[str]
    newest: Reached
    refusal: str | None


class Mark(NamedTuple):
    """All that a replay knows of the shadow."""

    reached: Reached
    totals: Counter[str]
    left_out: tuple[int, ...]
    suspect_slots: frozenset[UUID]


class Replay:
    """Fills the shadow from the log of one epoch; `reached` says how far it has come."""

    def __init__(
        self,
        connection: Connection,
        log: asyncpg.Pool,
        epoch: UUID,
        *,
        dropped: frozenset[int] = frozenset(),
    ) -> None:
        """`dropped` are positions of events that an operator decided to do without."""
        self.reached = NOWHERE
        self.totals = Counter[str]()
        self.left_out: list[int] = []
        """Positions of events that could not be taken in, or were dropped."""
        self._connection = connection
        self._log = log
        self.epoch = epoch
        self._dropped = dropped
        self._suspect_slots: set[UUID] = set()
        self._page = PAGE

    async def up_to(self, last: int, *, progress: Progress | None = None) -> None:
        """Apply every event up to a position that the log is known to have.

        Raises:
            LogChanged: it does not have them any more.
        """
        if self.reached.position >= last:
            return
        reading: asyncio.Task[list[asyncpg.Record]] | None
        reading = asyncio.create_task(self._read(self.reached.position, last), name="log-page")
        writing: asyncio.Task[None] | None = None
        try:
            with _without_garbage_collection():
                while reading is not None:
                    rows, reading = await reading, None
                    if rows[-1][0] < last:
                        reading = asyncio.create_task(self._read(rows[-1][0], last))
                    page = await self._fold(rows)
                    if writing is not None:
                        await writing
                    writing = asyncio.create_task(self._write(page), name="shadow-page")
                    if progress is not None:
                        progress("events", rows[-1][0], last)
                if writing is not None:
                    await writing
        finally:
            await end(*(task for task in (reading, writing) if task is not None))

    def mark(self) -> Mark:
        """Where it stands now, for a transaction that may be rolled back."""
        return Mark(
            self.reached, self.totals.copy(), tuple(self.left_out), frozenset(self._suspect_slots)
        )

    def return_to(self, mark: Mark) -> None:
        """Stand there again."""
        self.reached, self.totals = mark.reached, mark.totals.copy()
        self.left_out, self._suspect_slots = list(mark.left_out), set(mark.suspect_slots)

    async def _read(self, after: int, last: int) -> list[asyncpg.Record]:
        """The next page, without holes."""
        while True:
            limit = min(self._page, last - after)
            try:
                page = await read_rows(
                    self._log, after=after, limit=limit, timeout_s=READ_TIMEOUT_S
                )
                break
            except (TimeoutError, asyncpg.QueryCanceledError):
                if self._page == PAGE_MIN:
                    raise
                self._page = max(self._page // 2, PAGE_MIN)
        if not page or page[0][0] != after + 1 or page[-1][0] != after + len(page):
            raise LogChanged(f"The log does not go on from position {after} as it did.")
        return page

    async def _fold(self, rows: Sequence[asyncpg.Record]) -> Page:
        """Fold a page as a whole; if one of its events refuses, it is left to be done by halves."""
        changed, totals = Changed(), Counter[str]()
        newest: Event | None = None
        try:
            for number, row in enumerate(rows):
                if number % YIELD_EVERY == 0:
                    await asyncio.sleep(0)
                if row[0] in self._dropped:
                    raise ValueError("dropped")
                newest = event_of(row, self.epoch)
                said = fact(newest) if newest.type in PROJECTIONS else None
                if said is not None:
                    changed.fold(newest, said)
                    add(totals, newest, said)
        except OWN_FAULTS as error:
            return Page(rows, None, totals, NOWHERE, f"{type(error).__name__}: {error}")
        assert newest is not None, "a page is not empty"  # noqa: S101  narrows the type
        reached = Reached(newest.position, newest.event_id, newest.recorded_at)
        return Page(rows, changed, totals, reached, None)

    async def _write(self, page: Page) -> None:
        """Write a page; by halves if it must be, down to the one event that has to be buried."""
        reason = page.refusal
        if page.changed is not None:
            try:
                await self._write_rows(page.changed, guarded=False)
            except UNWRITABLE:
                reason = await self._write_guarded(page.changed)
        if reason is None:
            self.totals.update(page.totals)
            self.reached = page.newest
        elif len(page.rows) == 1:
            await self._bury(page.rows[0][0], reason)
        else:
            middle = len(page.rows) // 2
            await self._write(await self._fold(page.rows[:middle]))
            await self._write(await self._fold(page.rows[middle:]))

    async def _write_guarded(self, changed: Changed) -> str | None:
        """Write a page by the projections' own statements; answers why that cannot be done."""
        try:
            await self._write_rows(changed, guarded=True)
        except UNWRITABLE as error:
            return f"{type(error).__name__}: {error}"
        return None

    async def _write_rows(self, changed: Changed, *, guarded: bool) -> None:
        written: list[UUID] = []
        here = in_shadow if guarded else in_empty_shadow
        async with self._connection.transaction():
            for write in writes(changed):
                if write.slots and self._suspect_slots:
                    rows = await self._connection.fetch(here(write.sql), *write.parameters)
                    written += [row["slot_id"] for row in rows]
                else:
                    await self._connection.execute(here(write.sql), *write.parameters)
            if overtaken := self._suspect_slots.intersection(written):
                await self._connection.execute(in_shadow(CLEAR_SUSPECT_SLOTS), list(overtaken))
                self._suspect_slots -= overtaken

    async def _bury(self, position: int, reason: str) -> None:
        """Put one event aside, as the projector would; do without one that was dropped."""
        letter = await read_letter(self._log, position, epoch=self.epoch)
        if letter is None:
            raise LogChanged(f"The log has no event at position {position} any more.")
        self.left_out.append(position)
        self.reached = Reached(position, letter.event_id, letter.recorded_at)
        if position in self._dropped:
            return
        recent = [other for other in self.left_out if position - other < LAST_EVENTS]
        if len(recent) > BURIED_MAX:
            raise TooManyDeadLetters(
                f"{BURIED_MAX} of the last {LAST_EVENTS} events could not be taken in, the last at "
                f"position {position} ({reason}): repair or update the projector first."
            )
        async with self._connection.transaction():
            await keep(self._connection, letter, reason=reason, schema=SCHEMA)
        self._suspect_slots.update(letter.slot_ids)


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Millions of small objects and no cycles: looking for some takes half of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
