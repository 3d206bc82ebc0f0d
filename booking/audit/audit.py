"""One audit from beginning to end: the log, then every table page by page, while bookings go on."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Collection
from typing import Final, Literal
from uuid import UUID

import asyncpg
from msgspec import Struct

from booking.audit import read
from booking.audit.findings import Findings, Witness
from booking.audit.fold import Fold
from booking.audit.logged_event import LoggedEvent
from booking.audit.rows import Comparison
from booking.edge.failures import Misconfigured
from booking.edge.progress import Progress

EVENTS_MAX: Final = 500
"""A page of the log: most fit into a socket, so that the server reads one while the last is folded."""
ROWS_MAX: Final = 2000
ROWS_OF_BLOCK: Final = 60
"""A block of 8 kB holds twice as many lines, and fewer answers."""
ROWS_MIN: Final = 50
"""A page that the server does not give in time is asked for again by halves, down to this."""
STATEMENT_TIMEOUT_MS: Final = 2000
"""No snapshot of ours lives longer."""
TOO_SLOW: Final = (asyncpg.QueryCanceledError, asyncpg.LockNotAvailableError)
LAST_ID: Final = (1 << 128) - 1
LAST_PAIR_OF_IDS: Final = (1 << 256) - 1


class Report(Struct, frozen=True, kw_only=True):
    """What an audit has seen, and whether it holds."""

    verdict: Literal["valid", "invalid"]
    epoch: UUID
    position: int
    """Up to which the log was folded in the end."""
    events: int
    resources: int
    slots: int
    bookings: int
    customer_uses: int
    seconds: float
    events_per_s: float
    """Of folding the log alone."""
    violations: dict[str, int]
    witnesses: list[Witness]


class Stopped(Exception):
    """Somebody ended the audit before it could conclude anything."""


async def audit(
    connection: "asyncpg.Connection[asyncpg.Record]", *, progress: Progress, stop: asyncio.Event
) -> Report:
    """Prove that counters, live bookings and log agree, or name where they do not.

    Args:
        connection: to the write database, of this audit only; it is made read-only.
        progress: told after each page.
        stop: looked at after each page.

    Raises:
        Stopped: `stop` was set.
        Misconfigured: the log was put back meanwhile, or the server is too slow for the smallest page.
    """
    await read.make_read_only(connection)
    return await _Audit(connection, progress, stop).run()


class _Audit:
    def __init__(
        self,
        connection: "asyncpg.Connection[asyncpg.Record]",
        progress: Progress,
        stop: asyncio.Event,
    ) -> None:
        self._connection = connection
        self._progress = progress
        self._stop = stop
        self._findings = Findings()
        self._fold = Fold(self._findings)
        self._events = 0
        self._events_max = EVENTS_MAX
        self._rows_max = ROWS_MAX

    async def run(self) -> Report:
        fold, compare = self._fold, Comparison(self._fold, self._findings)
        started_s = time.monotonic()
        ends = await read.ends(self._connection)
        if ends.newest > ends.head:
            self._fold.overhang(ends.head, ends.newest)
        await self._fold_to(ends.head, shown=True)
        self._fold.head(ends.recorded_s)
        folded_s = time.monotonic()
        await self._walk("resources", read.resources, fold.resources, compare.resource)
        # Bookings before slots: what a slot's bookings sum to is known when all have been read.
        await self._walk("bookings", read.bookings, fold.booking_ids, compare.booking)
        await self._walk("slots", read.slots, fold.slots, compare.slot)
        await self._walk("customers' uses", read.uses, fold.use, compare.use, LAST_PAIR_OF_IDS)
        await self._look_for("lines", "booking_line", compare.line_astray)
        await self._look_for("answers kept", "command_record", compare.answer_astray)
        await self._tell_ids_apart()
        ended_s = time.monotonic()
        violations = dict(self._findings.violations)
        return Report(
            verdict="invalid" if violations else "valid",
            epoch=ends.epoch,
            position=fold.position,
            events=self._events,
            resources=len(fold.resources),
            slots=len(fold.slots),
            bookings=len(fold.booking_ids),
            customer_uses=len(fold.use),
            seconds=round(ended_s - started_s, 3),
            events_per_s=round(ends.head / max(folded_s - started_s, 0.001)),
            violations=violations,
            witnesses=self._findings.witnesses,
        )

    async def _fold_to(self, last: int, *, shown: bool = False) -> None:
        """Fold on up to `last`, which has been committed: what is missing until then is missing for good."""
        fold = self._fold
        if last < fold.position:
            raise Misconfigured(
                "The log was put back to an older copy while it was audited: run the audit again."
            )
        ahead: asyncio.Task[list[asyncpg.Record]] | None = None
        while fold.position < last:
            asked = self._events_max
            try:
                page = await (ahead or read.events(self._connection, fold.position, last, asked))
            except TOO_SLOW as error:
                self._events_max, ahead = _half(asked, error), None
                continue
            self._heed_stop()
            ahead = None
            if len(page) == asked and page[-1][0] < last:
                # The server looks for the next page while this one is folded.
                ahead = asyncio.create_task(read.events(self._connection, page[-1][0], last, asked))
                await asyncio.sleep(0)
            for row in page:
                fold.fold(LoggedEvent._make(row))
            self._events += len(page)
            if len(page) < asked and fold.position < last:
                fold.miss(last)
            if shown:
                self._progress("events", fold.position, last)

    async def _walk(
        self,
        what: str,
        read_page: read.ReadPage,
        logged: Collection[int],
        judge: Callable[[int, asyncpg.Record | None], None],
        last_key: int = LAST_ID,
    ) -> None:
        """Judge every row, and everything that the log knows and no row is there for.

        Keys of the log are those of the beginning. Between two pages rows may appear on either
        side; a page is compared as a whole with the fold at its own position, so both are right.
        """
        known, passed, start = sorted(logged), 0, 0
        while start <= last_key:
            self._heed_stop()
            try:
                page = await read_page(self._connection, start, self._rows_max)
            except TOO_SLOW as error:
                self._rows_max = _half(self._rows_max, error)
                continue
            await self._fold_to(page.head)
            end = page.rows[-1][0] if page.full else last_key
            there = set()
            for key, row in page.rows:
                there.add(key)
                judge(key, row)
            while passed < len(known) and known[passed] <= end:
                if known[passed] not in there:
                    judge(known[passed], None)
                passed += 1
            self._progress(what, passed, len(known))
            start = end + 1

    async def _look_for(
        self, what: str, table: read.AstrayTable, judge: Callable[[asyncpg.Record], None]
    ) -> None:
        """Read a table block by block for rows that nothing else leads to."""
        first, blocks = 0, await read.blocks(self._connection, table)
        while first < blocks:
            self._heed_stop()
            end = first + max(self._rows_max // ROWS_OF_BLOCK, 1)
            try:
                rows = await read.astray(self._connection, table, first, end)
            except TOO_SLOW as error:
                self._rows_max = _half(self._rows_max, error)
                continue
            for row in rows:
                judge(row)
            first = end
            self._progress(f"blocks of {what}", min(first, blocks), blocks)

    async def _tell_ids_apart(self) -> None:
        """Where ids of events did not ascend, go through the log's ids again: some may be there twice."""
        doubted, last, passed = self._fold.ids_out_of_order, self._fold.position, 0
        places: dict[int, list[int]] = defaultdict(list)
        while doubted and passed < last:
            self._heed_stop()
            try:
                page = await read.event_ids(self._connection, passed, last, self._events_max)
            except TOO_SLOW as error:
                self._events_max = _half(self._events_max, error)
                continue
            for position, event_id in page:
                if event_id in doubted:
                    places[event_id].append(position)
            passed = page[-1][0] if page else last
            self._progress("ids of events", passed, last)
        for event_id, positions in places.items():
            if len(positions) > 1:
                self._fold.twice(event_id, positions)

    def _heed_stop(self) -> None:
        if self._stop.is_set():
            raise Stopped


def _half(rows: int, error: Exception) -> int:
    if rows <= ROWS_MIN:
        raise Misconfigured(
            f"The database does not give {rows} rows within {STATEMENT_TIMEOUT_MS // 1000} s, being busy "
            "or locked by a migration: run the audit later."
        ) from error
    return max(rows // 2, ROWS_MIN)
