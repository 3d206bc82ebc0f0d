"""A verification from beginning to end: fold the log beside the read model, and hold them together.

The fold is a shadow on disk, so what is held in memory does not grow with the log. Both are compared
page by page, each page at one position: the checkpoint is held, the shadow catches up with it, and
then nobody writes until the page is judged. In between, the projector has as much time as it waited.
"""

import asyncio
import time
from typing import Literal
from uuid import UUID

import asyncpg
from msgspec import Struct

from booking.edge.progress import Progress, silent
from projector.guards.checkpoint_compare_and_set import (
    Connection,
    begin_generation,
    read_checkpoint,
)
from projector.log_reader import read_head
from projector.projections import TABLES
from projector.rebuild.rebuild import read_dropped
from projector.rebuild.replay import LogChanged, Replay
from projector.rebuild.shadow import Overtaken, lock_checkpoint, shadow_of_mine
from projector.verify.compare import Comparison, layout
from projector.verify.witness import Found, Witness


class NothingToVerify(Exception):
    """The read model is being rebuilt: there is nothing that anybody is told."""


class Report(Struct, frozen=True, kw_only=True):
    """What a verification found."""

    verdict: Literal["valid", "invalid"]
    """Before mending."""
    epoch: UUID
    position: int
    """Up to which the log was folded in the end."""
    rows: int
    drift: dict[str, int]
    """Rows that were not what the log says, by table."""
    repaired: int
    left_out: int
    """Events that today's code cannot take in, or that were dropped."""
    seconds: float
    witnesses: list[Witness]


# One row; the last word on drift, for whoever watches.
KEEP_REPORT = """
INSERT INTO read_model.verification (epoch, position, rows, drift, repaired)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (only_row) DO UPDATE
SET epoch = excluded.epoch, position = excluded.position, rows = excluded.rows,
    drift = excluded.drift, repaired = excluded.repaired, verified_at = now()
"""

COUNT_ROWS = """
SELECT coalesce(sum(greatest(reltuples, 0)), 0)::bigint FROM pg_class
WHERE relnamespace = 'read_model'::regnamespace AND relname = ANY ($1)
"""


async def verify(
    connection: Connection,
    log: asyncpg.Pool,
    *,
    repair: bool = False,
    progress: Progress = silent,
) -> Report:
    """Hold every row of the read model against the fold of the log, and mend it if asked to.

    Raises:
        NothingToVerify: it is being rebuilt.
        ShadowInUse: a rebuild, or another verification, is under way.
        Overtaken, LogChanged: the log began a new epoch meanwhile.
        TooManyDeadLetters: the projections do not fit the log.
    """
    started_s = time.monotonic()
    found, repaired = Found(), 0
    async with shadow_of_mine(connection):
        seen, head = await read_checkpoint(connection), await read_head(log)
        if seen.state != "running" or seen.epoch != head.epoch:
            raise NothingToVerify("The read model is being rebuilt.")
        replay = Replay(connection, log, head.epoch, dropped=await read_dropped(connection, log))
        await replay.up_to(seen.position, progress=progress)
        expected = await connection.fetchval(COUNT_ROWS, TABLES)
        for table in TABLES:
            comparison = Comparison(connection, await layout(connection, table), found)
            more = True
            while more:
                await replay.up_to((await read_checkpoint(connection)).position)
                began_s = time.monotonic()
                mended, more = await _page(connection, replay, comparison, repair=repair)
                repaired += mended
                progress("rows", found.rows, max(expected, found.rows))
                await asyncio.sleep(time.monotonic() - began_s)
        drift = sum(found.drift.values())
        position = replay.reached.position
        await connection.execute(KEEP_REPORT, head.epoch, position, found.rows, drift, repaired)
    return Report(
        verdict="invalid" if drift else "valid",
        epoch=head.epoch,
        position=position,
        rows=found.rows,
        drift=found.drift,
        repaired=repaired,
        left_out=len(replay.left_out),
        seconds=round(time.monotonic() - started_s, 3),
        witnesses=found.smallest(),
    )


async def _page(
    connection: Connection, replay: Replay, comparison: Comparison, *, repair: bool
) -> tuple[int, bool]:
    """One page at one position; what is mended begins a new generation, so nobody keeps it in memory."""
    async with connection.transaction():
        standing = await lock_checkpoint(connection)
        if standing.epoch != replay.epoch or standing.state != "running":
            raise Overtaken("The log began a new epoch meanwhile.")
        await replay.up_to(standing.position)
        if replay.reached.event_id != standing.event_id:
            raise LogChanged(f"The log contradicts the checkpoint at position {standing.position}.")
        mended, more = await comparison.page(repair=repair)
        if mended:
            await begin_generation(connection, standing)
    return mended, more
