"""API keys: who is calling, and what they may do.

Keys are stored as SHA-256 only. Every process holds the whole table in memory, reads it anew every two
seconds, and keeps trusting its last reading for fifteen minutes, so callers do not notice when the
database is away for a while, and a revoked key is refused within seconds.
"""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Self
from uuid import UUID

import msgspec
import structlog

from booking.edge.ending import end

REFRESH_INTERVAL_S = 2.0
GOOD_FOR_S = 15 * 60.0
LOAD_TIMEOUT_S = 5.0

ALL_SCOPES = frozenset({"inventory:write", "bookings:write", "bookings:own", "read", "operate"})

_log = structlog.get_logger(__name__)


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """One live key, as the view `published.api_keys` shows it."""

    key_id: UUID
    name: str
    sha256: bytes
    scopes: list[str]
    customer_id: UUID | None = None
    rate_per_s: int | None = None
    burst: int | None = None


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who sent a request. `id` is what idempotency keys belong to."""

    id: str
    name: str
    scopes: frozenset[str]
    customer_id: UUID | None = None
    rate_per_s: int | None = None
    burst: int | None = None

    def may(self, *scopes: str) -> bool:
        """Whether the caller has any of these scopes."""
        return not self.scopes.isdisjoint(scopes)


ANONYMOUS = Caller(id="anonymous", name="anonymous", scopes=ALL_SCOPES)


class KeysUnknown(Exception):
    """The table has never been read, or was read too long ago to be trusted."""


class KeyTable:
    """The live keys in memory; an async context manager that keeps reading them."""

    def __init__(self, load: Callable[[], Awaitable[Iterable[ApiKey]]]) -> None:
        """Takes the coroutine function that reads the live keys from the database."""
        self._load = load
        self._callers: dict[bytes, Caller] = {}
        self._live_ids: frozenset[str] = frozenset()
        self._read_at: float | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Reads once; a database that is away is not fatal, the process is then not ready."""
        with contextlib.suppress(Exception):
            await self.refresh_once()
        self._task = asyncio.create_task(self._refresh_forever(), name="api-keys")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stops reading."""
        if self._task is not None:
            await end(self._task)

    @property
    def live(self) -> int:
        """How many keys are live, by the last reading."""
        return len(self._callers)

    def caller(self, secret: bytes) -> Caller | None:
        """Who this key belongs to; None when it is not a live one.

        Raises:
            KeysUnknown: the table cannot be trusted now.
        """
        return self._trusted().get(hashlib.sha256(secret).digest())

    def is_live(self, caller_id: str) -> bool:
        """Whether the key of a caller who was let in before is still live.

        Raises:
            KeysUnknown: the table cannot be trusted now.
        """
        self._trusted()
        return caller_id in self._live_ids

    def _trusted(self) -> dict[bytes, Caller]:
        if self._read_at is None or time.monotonic() - self._read_at > GOOD_FOR_S:
            raise KeysUnknown
        return self._callers

    async def refresh_once(self) -> int:
        """Reads the table once and returns how many keys are live."""
        async with asyncio.timeout(LOAD_TIMEOUT_S):
            keys = await self._load()
        self._callers = {bytes(key.sha256): _caller(key) for key in keys}
        self._live_ids = frozenset(caller.id for caller in self._callers.values())
        self._read_at = time.monotonic()
        return len(self._callers)

    async def _refresh_forever(self) -> None:
        failing = False
        while True:
            await asyncio.sleep(REFRESH_INTERVAL_S)
            try:
                await self.refresh_once()
                failing = False
            except Exception as error:  # noqa: BLE001 - whatever the driver raises, the last reading stays good
                if not failing:
                    _log.warning("api_keys_not_read", error=repr(error))
                failing = True


def _caller(key: ApiKey) -> Caller:
    scopes = frozenset(key.scopes)
    return Caller(
        id=str(key.key_id),
        name=key.name,
        scopes=scopes | {"read"} if "operate" in scopes else scopes,
        customer_id=key.customer_id,
        rate_per_s=key.rate_per_s,
        burst=key.burst,
    )
