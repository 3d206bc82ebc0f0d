"""An operator's session: a connection to the read model, the log beside it, and an end on demand.

Commands that work on the whole read model (`rebuild`, `verify`, `dead-letters`) run in one. What
cannot be done ends as one sentence with its remedy.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeVar

import asyncpg

from booking.edge.database import CONNECTION_LOST, open_pool
from booking.edge.ending import end
from booking.edge.failures import Misconfigured
from projector.guards.checkpoint_compare_and_set import Connection, read_checkpoint
from projector.settings import Settings

STATEMENT_TIMEOUT_MS = 60_000
"""Of the read model: pages of many thousand rows."""
LOG_STATEMENT_TIMEOUT_MS = 2_000
"""No snapshot of the write database lives longer."""

TIDY_UP_S = 5.0
"""For rolling back and dropping tables; the process has 8 s from the signal to its end."""

T = TypeVar("T")


class Session(NamedTuple):
    """What a command works with."""

    read_model: Connection
    log: asyncpg.Pool


@asynccontextmanager
async def session(settings: Settings, *, name: str) -> AsyncIterator[Session]:
    """Open both databases as `projector_writer`.

    Raises:
        Misconfigured: one cannot be reached or has not been migrated, or went away meanwhile.
    """
    async with (
        await open_pool(
            settings.database_url,
            role="projector_writer",
            name=name,
            size_max=1,
            statement_timeout_ms=STATEMENT_TIMEOUT_MS,
            variable="PROJECTOR_DATABASE_URL",
        ) as read_model,
        await open_pool(
            settings.log_database_url,
            role="projector_writer",
            name=f"{name}-log",
            size_max=2,
            statement_timeout_ms=LOG_STATEMENT_TIMEOUT_MS,
            variable="PROJECTOR_LOG_DATABASE_URL",
        ) as log,
        read_model.acquire() as connection,
    ):
        try:
            await read_checkpoint(connection)
            yield Session(connection, log)
        except (
            asyncpg.UndefinedTableError,
            asyncpg.UndefinedFunctionError,
            asyncpg.InvalidSchemaNameError,
        ) as error:
            raise Misconfigured(
                "The databases do not have what this version needs: run `booking migrate` first."
            ) from error
        except (*CONNECTION_LOST, asyncpg.QueryCanceledError) as error:
            raise Misconfigured(
                f"A database went away or did not answer in time ({type(error).__name__}): "
                "nothing was changed; run the command again."
            ) from error


async def unless_stopped(
    stop: asyncio.Event, work: Callable[[], Coroutine[Any, Any, T]]
) -> T | None:
    """What `work` returns; None when it was stopped before, after it has tidied up."""
    working = asyncio.create_task(work(), name="work")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return await working if working.done() else None
    finally:
        # Asked once: whoever is asked again while tidying up would leave that half done.
        working.cancel()
        await asyncio.wait({working}, timeout=TIDY_UP_S)
        await end(working, stopping)
