"""Runs one deciding call until it is decided, and says what is known when it cannot be.

Every deciding call is one transaction (the product's also one statement) and carries the ids of its
commands, so running it again is always safe: what happened is found again by id, what did not happen
is decided anew or refused as past its deadline. Driver errors are translated here and nowhere else.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

import asyncpg
import structlog

from booking.edge.database import CONNECTION_LOST
from booking.faults import DatabaseUnavailable, NotDecided, Outcome

ATTEMPTS_MAX = 24
"""With the pauses below this lasts longer than any deadline; it ends what no clock would end."""
PAUSE_FIRST_S = 0.002
PAUSE_MAX_S = 0.25
STATEMENT_TIMEOUT_MS = 4000
"""No deciding call outlives this: together with the 5 s deadline, what is not there after 10 s never will be."""
CALL_TIMEOUT_S = 4.5
"""The client's own end of waiting, for a network that swallows the server's."""

Answered = TypeVar("Answered")
DecidingCall = Callable[[asyncpg.Connection], Awaitable[Answered]]

_log = structlog.get_logger(__name__)


class TransactionConflict(Exception):
    """A guard of the laboratory has seen that somebody else was faster, and has rolled back."""


NOTHING_HAPPENED = (
    TransactionConflict,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.SerializationError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InsufficientResourcesError,
)
"""The statement failed as a whole and may succeed when it is run again."""

DECIDED_ELSEWHERE = frozenset(
    {"command_decided_once", "booking_id_taken", "resource_id_taken", "slot_id_taken"}
)
"""Somebody else committed this id between our look and our write: nothing happened, look again."""


def run_again(error: BaseException) -> Outcome | None:
    """What a failed attempt left behind, or None when running it again would fail again."""
    if isinstance(error, asyncpg.UniqueViolationError):
        return "did-not-happen" if error.constraint_name in DECIDED_ELSEWHERE else None
    if isinstance(error, NOTHING_HAPPENED):
        return "did-not-happen"
    if isinstance(error, ValueError):
        return None  # a value the driver refused to send, though it is one of its InterfaceErrors
    if isinstance(error, CONNECTION_LOST):
        return "may-have-happened"
    return None


class Attempts:
    """Deciding calls on pooled connections; `reruns` counts what had to be run again."""

    def __init__(self, pool: asyncpg.Pool, *, on_rerun: Callable[[str], None]) -> None:
        self._pool = pool
        self._on_rerun = on_rerun

    async def run(self, call: DecidingCall[Answered], *, give_up_at_s: float) -> Answered:
        """The call's answer; run again until `give_up_at_s` (monotonic) where that is safe.

        Raises:
            DatabaseUnavailable: no connection, or it was lost; says whether it may have happened.
            NotDecided: contended until the end. It did not happen.
            Exception: whatever the call itself raised, when running it again would not help.
        """
        outcome: Outcome = "did-not-happen"
        pause_s = PAUSE_FIRST_S
        for attempt in range(1, ATTEMPTS_MAX + 1):
            connected = False
            try:
                async with self._pool.acquire(timeout=_until(give_up_at_s)) as connection:
                    connected = True
                    return await call(cast("asyncpg.Connection", connection))
            except Exception as error:
                left_behind = run_again(error)
                if left_behind is None:
                    raise
                if connected and left_behind == "may-have-happened":
                    outcome = left_behind
                unreachable = not connected or isinstance(error, CONNECTION_LOST)
                self._on_rerun(type(error).__name__)
                if attempt == ATTEMPTS_MAX or time.monotonic() + pause_s >= give_up_at_s:
                    _log.warning("given_up", attempts=attempt, error=repr(error), outcome=outcome)
                    if unreachable or outcome == "may-have-happened":
                        raise DatabaseUnavailable(outcome) from error
                    raise NotDecided(f"Contended {attempt} times in a row.") from error
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, PAUSE_MAX_S)
        raise AssertionError  # the last attempt has returned or raised


def _until(give_up_at_s: float) -> float:
    """Seconds left for getting a connection; at least a moment, so that one attempt is made."""
    return max(0.05, give_up_at_s - time.monotonic())
