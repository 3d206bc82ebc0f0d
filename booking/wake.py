"""Rings the relay after a commit, so that it need not wait for its next poll.

Core NATS, fire and forget: a lost ring costs the relay's poll interval and nothing else. The write
side works without NATS; a broker that is away is tried again for as long as the process lives.
"""

import asyncio
import contextlib
from types import TracebackType
from typing import Self

import nats
import structlog
from nats.aio.client import Client

from booking.edge.ending import end
from booking.events.subjects import WAKE

CONNECT_TIMEOUT_S = 2
PAUSE_S = 1.0

_log = structlog.get_logger(__name__)


class Wake:
    """A bell with a clapper of its own: rings while one is under way become one."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="wake")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._task is not None:
            await end(self._task)

    def ring(self) -> None:
        """There is something to relay. Never waits, never fails."""
        self._wanted.set()

    async def _run(self) -> None:
        while True:
            try:
                connection = await nats.connect(
                    self._url,
                    connect_timeout=CONNECT_TIMEOUT_S,
                    allow_reconnect=True,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=0.2,
                    ping_interval=5,
                    max_outstanding_pings=2,
                    pending_size=0,  # a ring that cannot be sent now is worth nothing later
                    error_cb=_said_by_the_client,
                )
            except Exception as error:  # noqa: BLE001 - whatever is wrong with the broker, try again
                _log.info("wake_without_nats", error=repr(error))
                await asyncio.sleep(PAUSE_S)
                continue
            try:
                await self._ring_on(connection)
            finally:
                with contextlib.suppress(Exception):
                    await connection.close()

    async def _ring_on(self, connection: Client) -> None:
        while not connection.is_closed:
            await self._wanted.wait()
            self._wanted.clear()
            with contextlib.suppress(Exception):  # lost; the relay polls as well
                await connection.publish(WAKE)


async def _said_by_the_client(error: Exception) -> None:
    _log.debug("wake_connection", error=repr(error))
