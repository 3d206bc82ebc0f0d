"""Ends background tasks for certain.

One `cancel()` is a request. A task that waits inside `asyncio.wait_for` at that very moment may lose
it (CPython before 3.12: the inner result wins), and a client that connects in an endless loop then
goes on for ever. So it is asked again until it has ended, within a deadline.
"""

import asyncio
from typing import Any

import structlog

ASK_AGAIN_S = 0.2
DEADLINE_S = 3.0
"""Well within the time that a whole process may take to end."""

_log = structlog.get_logger(__name__)


async def end(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel tasks and wait until they have ended; what they raise on their way out is theirs.

    A task that does not end within `DEADLINE_S` is named in the log and left behind.
    """
    deadline = asyncio.get_running_loop().time() + DEADLINE_S
    left = {task for task in tasks if not task.done()}
    while left and asyncio.get_running_loop().time() < deadline:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=ASK_AGAIN_S)
    for task in left:
        _log.error("task_does_not_end", task=task.get_name())
