"""Connections to Postgres: under a role, with deadlines, and with a clock of their own.

Every connection takes its role at start-up and refuses statements that run too long. `DatabaseClock` knows
between which bounds the database's time lies, without asking it each time. `refuse_unsafe` is what a
process checks before it serves.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Self

import asyncpg
import structlog

from booking.edge.ending import end
from booking.edge.failures import Misconfigured

CONNECT_TIMEOUT_S = 5.0
CLOCK_INTERVAL_S = 5.0
CLOCK_GOOD_FOR_S = 30.0
CLOCK_LOOK_S = 0.5
"""How often it is looked whether an interval is over; a machine that slept knows the time soon after."""

CONNECTION_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a statement sent while the driver takes in the server's goodbye
    OSError,
    TimeoutError,
)
"""The database went away meanwhile: nobody knows whether a commit came first."""

UNREACHABLE = (*CONNECTION_LOST, asyncpg.PostgresError)
"""The database went away, or refuses: what must go on without it for a while tries again."""

_log = structlog.get_logger(__name__)


async def open_pool(
    url: str,
    *,
    role: str,
    name: str,
    size_max: int,
    statement_timeout_ms: int,
    lock_timeout_ms: int = 2000,
    server_settings: Mapping[str, str] | None = None,
    variable: str = "BOOKING_DATABASE_URL",
) -> "asyncpg.Pool[asyncpg.Record]":
    """Opens a pool whose connections all act as `role`.

    Connections are not reset when they go back to the pool (it would double the cost of a short
    statement), so whoever uses them leaves no session state: `SET LOCAL` and transaction locks only.
    What all of them need is given as `server_settings`.

    Args:
        url: of the database.
        role: taken at start-up by every connection.
        name: shown as `application_name` in `pg_stat_activity`.
        size_max: connections at most.
        statement_timeout_ms: after which the server ends a statement.
        lock_timeout_ms: after which the server ends a statement that waits for a lock.
        server_settings: further settings that every connection begins with.
        variable: the setting named when the database cannot be reached.

    Raises:
        Misconfigured: unreachable, refused, or the role is missing or not granted.
    """
    try:
        return await asyncpg.create_pool(
            url,
            min_size=1,
            max_size=size_max,
            timeout=CONNECT_TIMEOUT_S,
            # Should the server not keep its own time-out (paused, unplugged), the client ends the wait.
            command_timeout=statement_timeout_ms / 1000 + 1.0,
            reset=_leave_as_it_is,
            server_settings={
                "role": role,
                "application_name": name,
                "statement_timeout": str(statement_timeout_ms),
                "lock_timeout": str(lock_timeout_ms),
                "idle_in_transaction_session_timeout": str(2 * statement_timeout_ms),
                "timezone": "UTC",
                **(server_settings or {}),
            },
        )
    except (*UNREACHABLE, ValueError) as error:
        raise Misconfigured(_refusal(error, role=role, variable=variable)) from error


async def _leave_as_it_is(_: Any) -> None:
    return None


def _refusal(error: Exception, *, role: str, variable: str) -> str:
    match error:
        case asyncpg.InvalidParameterValueError():
            what = f"has no role {role}: run `booking migrate` first"
        case asyncpg.InsufficientPrivilegeError():
            what = f"does not let this login act as {role}: grant it that role"
        case asyncpg.InvalidCatalogNameError():
            what = "does not exist on its server: create it, or name another"
        case asyncpg.InvalidPasswordError() | asyncpg.InvalidAuthorizationSpecificationError():
            what = "refuses the login: check user and password"
        case ValueError() if not isinstance(error, asyncpg.InterfaceError):
            # Its text quotes what should have been a port: a piece of the password, as a rule.
            what = (
                "has no URL that can be read: write / as %2F, @ as %40 and # as %23 in its password"
            )
        case TimeoutError():
            what = f"did not answer within {CONNECT_TIMEOUT_S:.0f} s: is it running there?"
        case OSError():
            what = f"cannot be reached ({_reason(error)}): is it running there?"
        case _:
            what = f"cannot be used ({_reason(error)}): check the URL"
    return f"The database of {variable} {what}{'' if what.endswith('?') else '.'}"


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


GOES_ON_ASLEEP = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""On Linux the monotonic clock stands still while the machine sleeps; on macOS it does not."""


def seconds_passed() -> float:
    """Seconds since some moment, also those that the machine slept: what is old does not stay young by it."""
    return time.clock_gettime(GOES_ON_ASLEEP)


class NoDatabaseTime(Exception):
    """The database's time has not been read for too long to be known."""


class _Reading(NamedTuple):
    database_time: datetime
    before_s: float
    after_s: float


class DatabaseClock:
    """Database time between two bounds, from a reading every 5 s and what passed here since, awake or asleep.

    The database read its clock some time after the question was sent and before the answer came. So its
    time now is at most the reading plus what passed since sending, and at least the reading plus what
    passed since the answer. No wall clock of ours takes part.
    """

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        """Takes the pool to ask; use as an async context manager."""
        self._pool = pool
        self._reading: _Reading | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Reads once, and keeps reading."""
        with contextlib.suppress(Exception):
            await self.read_once()
        self._task = asyncio.create_task(self._read_forever(), name="database-clock")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stops reading."""
        if self._task is not None:
            await end(self._task)

    @property
    def reading_age_s(self) -> float | None:
        """How long ago the last reading was asked for; None before the first."""
        return None if self._reading is None else seconds_passed() - self._reading.before_s

    def now_at_most(self) -> datetime:
        """The latest moment it can be in the database.

        Raises:
            NoDatabaseTime: no reading for 30 s.
        """
        reading = self._fresh_reading()
        return reading.database_time + timedelta(seconds=seconds_passed() - reading.before_s)

    def now_at_least(self) -> datetime:
        """The earliest moment it can be in the database.

        Raises:
            NoDatabaseTime: no reading for 30 s.
        """
        reading = self._fresh_reading()
        return reading.database_time + timedelta(seconds=seconds_passed() - reading.after_s)

    async def read_once(self) -> datetime:
        """Reads the database's clock once and returns what it said."""
        async with asyncio.timeout(CONNECT_TIMEOUT_S), self._pool.acquire() as connection:
            before_s = seconds_passed()  # waiting for a connection says nothing of the clock
            database_time: datetime = await connection.fetchval(READ_CLOCK)
        self._reading = _Reading(database_time, before_s, seconds_passed())
        return database_time

    def _fresh_reading(self) -> _Reading:
        if self._reading is None or seconds_passed() - self._reading.before_s > CLOCK_GOOD_FOR_S:
            raise NoDatabaseTime
        return self._reading

    async def _read_forever(self) -> None:
        asked_s = seconds_passed()
        while True:
            await asyncio.sleep(CLOCK_LOOK_S)
            if seconds_passed() - asked_s < CLOCK_INTERVAL_S:
                continue
            asked_s = seconds_passed()
            try:
                await self.read_once()
            except Exception as error:  # noqa: BLE001 - whatever the driver raises, the last reading ages
                _log.warning("database_clock_not_read", error=repr(error))


READ_CLOCK = "SELECT clock_timestamp()"

# Judged for the role the connection acts as, not for its login.
JUDGE_SAFETY = """
SELECT (SELECT last_line_removed FROM published.head) AS last_line_removed,
       coalesce(
         (SELECT string_agg(privilege, ', ' ORDER BY privilege)
            FROM unnest(ARRAY['UPDATE', 'DELETE', 'TRUNCATE']) AS privilege
           WHERE has_table_privilege($1::name, to_regclass('booking.event_log'), privilege)),
         '') AS may
"""


async def refuse_unsafe(
    connection: "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]",
    *,
    environment: str,
    role: str,
) -> None:
    """Refuses a database whose last line of defence is gone, and a role that could rewrite history.

    Args:
        connection: to the write database.
        environment: only `laboratory` may use a database without its last line.
        role: the one this process acts as.

    Raises:
        Misconfigured: either holds, or the database has not been migrated.
    """
    try:
        row = await connection.fetchrow(JUDGE_SAFETY, role)
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError) as error:
        raise Misconfigured(
            "The database has no booking schema yet: run `booking migrate` first."
        ) from error
    if row is not None and row["last_line_removed"] and environment != "laboratory":
        raise Misconfigured(
            "This database belongs to an experiment (its last line of defence was removed): use another "
            "one, or set BOOKING_ENVIRONMENT=laboratory."
        )
    if row is not None and row["may"]:
        raise Misconfigured(
            f"The role {role} may {row['may']} on the event log, which is append-only: revoke that "
            "before starting."
        )
