"""The dull loop around periodic work: run, sleep, say what happened, stop when told.

Work is one coroutine that does what there is to do and returns what it did. If it fails, that is
logged and it is tried again at the next turn: all of it is safe to repeat.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import structlog

from booking.edge.ending import end

_log = structlog.get_logger(__name__)


class Periodic:
    """Runs `work` every `interval_s` seconds, first at once, from entering until `stop` or leaving."""

    def __init__(
        self, name: str, work: Callable[[], Awaitable[object]], *, interval_s: float
    ) -> None:
        self._name = name
        self._work = work
        self._interval_s = interval_s
        self._stopped = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name=self._name)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.stop()
        if self._task is not None:
            await end(self._task)

    def stop(self) -> None:
        """Begin no further turn."""
        self._stopped.set()

    async def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                await self._work()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next turn tries again
                _log.warning("periodic_work_failed", work=self._name, error=repr(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s):
                    await self._stopped.wait()
