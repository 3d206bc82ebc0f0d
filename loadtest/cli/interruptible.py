"""Work that a person may stop: SIGINT and SIGTERM cancel it, and it then says what it has."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

from loadtest.verdict import INTERRUPTED


def run_interruptible(work: Coroutine[Any, Any, int]) -> int:
    """Runs to the end and returns the exit code."""
    import uvloop  # noqa: PLC0415 -- only who works needs it

    async def cancellable() -> int:
        task = asyncio.ensure_future(work)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        try:
            return await task
        except asyncio.CancelledError:  # a second time, while cleaning up
            return INTERRUPTED

    return uvloop.run(cancellable())
