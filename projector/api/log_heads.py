"""The read index: where the log ended at some moment after a request arrived."""

import asyncio

import asyncpg

from projector.log_reader import LogHead, read_head


class LogHeads:
    """Reads the log's head for strong reads; requests that wait for the same reading share it."""

    def __init__(self, log: asyncpg.Pool) -> None:
        self._log = log
        self._running: asyncio.Task[LogHead] | None = None
        self._next: asyncio.Task[LogHead] | None = None

    async def after_now(self) -> LogHead:
        """The head by a statement that begins after this call.

        A statement that is under way began before this call, so it cannot be joined; the one that
        follows it can, by everyone who comes meanwhile.

        Raises:
            OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError: unreachable.
        """
        if self._next is None:
            self._next = asyncio.create_task(self._read(self._running), name="log-head")
        return await asyncio.shield(self._next)

    async def _read(self, running: "asyncio.Task[LogHead] | None") -> LogHead:
        if running is not None:
            await asyncio.wait({running})
        self._running, self._next = self._next, None  # whoever comes now is too late for this one
        return await read_head(self._log)
