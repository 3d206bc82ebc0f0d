"""The shadow: tables like those that are read, filled out of sight and put in their place at once.

Only one process at a time has it, which an advisory lock of its session says; a crash gives the
lock back, and whoever comes next begins with empty tables. The swap is one transaction under the
checkpoint's row lock: it applies what is missing, renames, and raises `generation`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import UUID

import asyncpg

from projector.guards.checkpoint_compare_and_set import Checkpoint, Connection
from projector.projections import TABLES

BUILD_TIMEOUT_S = 3600.0
"""For one index or one table's statistics: a hundred million rows."""
LOCK_TIMEOUTS_MS = (200, 200, 500, 500, 1500, 1500, 1500, 1500)
"""Readers that come while the swap waits for those that are there wait behind it, so it gives up soon
and comes again; later for longer than the second after which Postgres interrupts its own tidying up."""
RETRY_S = 0.3


_LOCK = 7_265_117_002
"""Any number will do, so long as everyone who fills a shadow names the same."""


class ShadowInUse(Exception):
    """Another process fills the shadow: a rebuild, or a verification."""


class Overtaken(Exception):
    """The checkpoint is no longer where this shadow can take its place: a new epoch, or a rebuild."""


class ReadersInTheWay(Exception):
    """The tables could not be locked, however often it was tried."""


TRY_LOCK = "SELECT pg_try_advisory_lock($1)"
UNLOCK = "SELECT pg_advisory_unlock($1)"
BEGIN = "SELECT read_model.begin_shadow($1)"
DROP = "SELECT read_model.drop_shadow()"
INDEX = "SELECT read_model.index_shadow()"
SWAP = "SELECT read_model.swap_shadow($1)"

# A shadow that is lost in a crash is begun again, so its commits need not wait for the disk. Its
# statements are planned once, when its tables are empty, and must not scan them for ever.
SESSION = {
    "synchronous_commit": "off",
    "enable_seqscan": "off",
    "maintenance_work_mem": "256MB",
    "idle_in_transaction_session_timeout": "30s",
}
SHOW = "SELECT current_setting($1)"
SET = "SELECT set_config($1, $2, false)"


@asynccontextmanager
async def shadow_of_mine(connection: Connection) -> AsyncIterator[None]:
    """Have the shadow, empty; nothing of it is left afterwards, whatever happened.

    `connection` is used for nothing else meanwhile.

    Raises:
        ShadowInUse: somebody else has it.
    """
    if not await connection.fetchval(TRY_LOCK, _LOCK):
        raise ShadowInUse("A rebuild or a verification of this read model is already under way.")
    before = {name: await connection.fetchval(SHOW, name) for name in SESSION}
    try:
        for name, value in SESSION.items():
            await connection.execute(SET, name, value)
        await connection.execute(BEGIN, TABLES, timeout=60.0)
        yield
    finally:
        if not connection.is_closed():
            # Who is cancelled still tidies up; the tables of a lost connection wait for the next.
            await asyncio.shield(
                asyncio.create_task(_leave(connection, before), name="leave-shadow")
            )


async def _leave(connection: Connection, before: Mapping[str, str]) -> None:
    await connection.execute(DROP, timeout=60.0)
    for name, value in before.items():
        await connection.execute(SET, name, value)
    await connection.execute(UNLOCK, _LOCK)


NO_HURRY = f"SET LOCAL statement_timeout = '{int(BUILD_TIMEOUT_S)}s'"


async def index_shadow(connection: Connection) -> AsyncIterator[str]:
    """Build what is left of the indexes, one by one, each in a transaction of its own."""
    while True:
        async with connection.transaction():
            await connection.execute(NO_HURRY)
            name: str | None = await connection.fetchval(INDEX, timeout=BUILD_TIMEOUT_S)
        if name is None:
            return
        yield name


LOCK_CHECKPOINT = """
SELECT epoch, position, event_id, as_of, generation, state FROM read_model.checkpoint FOR UPDATE
"""


async def lock_checkpoint(connection: Connection) -> Checkpoint:
    """The checkpoint, which nobody moves before this transaction ends."""
    row = await connection.fetchrow(LOCK_CHECKPOINT)
    assert row is not None, "the migration makes the one row of the checkpoint"  # noqa: S101  narrows the type
    return Checkpoint(**dict(row))


# Within an epoch the position is the one that stands there already: it never goes back for a reader.
SHOW_SHADOW = """
UPDATE read_model.checkpoint
SET position = $1, event_id = $2, as_of = greatest(as_of, $3), state = 'running',
    generation = generation + 1
RETURNING epoch, position, event_id, as_of, generation, state
"""


async def swap_shadow(
    connection: Connection,
    *,
    epoch: UUID,
    catch_up: Callable[[Checkpoint], Awaitable[tuple[int, UUID | None, datetime | None]]],
) -> Checkpoint:
    """Make the shadow what is read, and answer the checkpoint that says so.

    Args:
        connection: the one that has the shadow.
        epoch: that the shadow was folded from.
        catch_up: applies what the locked checkpoint has and the shadow lacks; answers the position,
            the event there and the moment up to which everything is in it.

    Raises:
        Overtaken: the checkpoint is in another epoch by now.
        ReadersInTheWay: readers held the tables for longer than anybody should.
    """
    for lock_timeout_ms in LOCK_TIMEOUTS_MS:
        try:
            async with connection.transaction():
                standing = await lock_checkpoint(connection)
                if standing.epoch != epoch:
                    raise Overtaken("The log began a new epoch meanwhile.")
                position, event_id, as_of = await catch_up(standing)
                await connection.execute(f"SET LOCAL lock_timeout = {lock_timeout_ms}")
                await connection.execute(SWAP, TABLES, timeout=30.0)
                (row,) = await connection.fetch(SHOW_SHADOW, position, event_id, as_of)
            return Checkpoint(**dict(row))
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            await asyncio.sleep(RETRY_S)
    raise ReadersInTheWay(
        "The tables are in use by statements that do not end: look for them in pg_stat_activity "
        "(backups, reports) and try again."
    )
