"""The log, opened for reading with the relay's own rights.

A database that cannot be reached is waited for; one that can and must not be relayed from ends the
process with a sentence.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import asyncpg

from booking.edge.database import CONNECTION_LOST, open_pool, refuse_unsafe
from booking.edge.failures import Misconfigured

ROLE = "booking_relay"
STATEMENT_TIMEOUT_MS = 2000
"""A page of 500 events takes 3 ms; no snapshot of the write database lives longer than this."""
CLOSE_DEADLINE_S = 2.0

MAY_PASS = (*CONNECTION_LOST, asyncpg.TooManyConnectionsError)
"""Why connecting failed without anybody's mistake, unless a value was wrong. All else is a wrong setting."""


class DatabaseUnreachable(Exception):
    """Nobody answered, for now; `str()` of it names the setting."""


@contextlib.asynccontextmanager
async def opened_log(url: str, *, environment: str) -> AsyncIterator[asyncpg.Pool]:
    """Open the database of BOOKING_DATABASE_URL, if it is one to relay from.

    Raises:
        DatabaseUnreachable: it may pass.
        Misconfigured: wrong login, wrong name, not migrated, or not safe in this environment.
    """
    try:
        pool = await open_pool(
            url,
            role=ROLE,
            name="booking-relay",
            size_max=2,
            statement_timeout_ms=STATEMENT_TIMEOUT_MS,
        )
    except Misconfigured as refused:
        cause = refused.__cause__
        if isinstance(cause, MAY_PASS) and not isinstance(cause, ValueError):
            raise DatabaseUnreachable(str(refused)) from refused
        raise
    try:
        async with pool.acquire() as connection:
            await refuse_unsafe(connection, environment=environment, role=ROLE)
        yield pool
    finally:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_DEADLINE_S):
                await pool.close()  # cut short, it ends the connections without a word
