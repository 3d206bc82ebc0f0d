"""Standing by: to look, ten times a second, whether the one that works still moves the checkpoint.

Each look reads one row and writes nothing. Who takes over too early does no harm: of two that move
the checkpoint one is refused.
"""

import asyncio
import time
from collections.abc import Callable

import asyncpg

from projector.guards.checkpoint_compare_and_set import Checkpoint, read_checkpoint

TAKE_OVER_S = 3.0
"""A checkpoint that stood still for this long has lost its projector."""
LOOK_S = 0.1


async def until_it_stands_still(
    read_model: asyncpg.Pool,
    still_s: float,
    *,
    seen: Callable[[Checkpoint], None],
    stop: asyncio.Event,
) -> None:
    """Wait until the checkpoint has stood still for so long; `seen` is told each look."""
    last, since = None, time.monotonic()
    while not stop.is_set() and time.monotonic() - since < still_s:
        now = await read_checkpoint(read_model)
        seen(now)
        if now != last:
            last, since = now, time.monotonic()
        await asyncio.sleep(LOOK_S)
