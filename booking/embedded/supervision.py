"""Keeps what should be running running: a process that dies is reported and started again.

The first start is not supervised: what cannot start at all is a mistake to report, not to repeat.
"""

import asyncio
import time
from typing import Protocol

import structlog

from booking.edge.failures import Misconfigured
from booking.embedded.child import Child

PAUSE_MIN_S = 0.1
PAUSE_MAX_S = 5.0
LONG_LIFE_S = 30.0
"""Who lived this long is forgiven earlier deaths: the pause begins again at its minimum."""


class Server(Protocol):
    """Something that is one process and can be started again."""

    name: str
    child: Child | None

    async def start(self) -> None:
        """Start it (again); it works when this returns."""

    def last_word(self) -> str:
        """Return what it said last, for the report of its death."""


async def keep_running(server: Server) -> None:
    """Start `server` again whenever it has died, until cancelled."""
    log = structlog.get_logger("supervision")
    pause_s = PAUSE_MIN_S
    while True:
        begun = time.monotonic()
        child = server.child
        exit_code = await child.wait() if child else None
        if time.monotonic() - begun > LONG_LIFE_S:
            pause_s = PAUSE_MIN_S
        log.error(
            "process_ended",
            name=server.name,
            pid=child and child.pid,
            exit_code=exit_code,
            last_word=server.last_word(),
            start_again_in_s=pause_s,
        )
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, PAUSE_MAX_S)
        try:
            await server.start()
        except (Misconfigured, OSError) as error:
            log.error("process_did_not_start", name=server.name, error=str(error))  # noqa: TRY400 - the sentence says it all
