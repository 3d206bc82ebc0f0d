"""What goes on beside the people until they are gone: a fault that comes again and again, an instrument that listens, a seller who gives back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine


@contextlib.asynccontextmanager
async def meanwhile(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Does something until the block ends.

    What fails there fails here, when the block ends: a trial whose fault or instrument died half-way is no evidence. What fails in the block
    behind it may be its consequence, so it comes second.
    """
    task = asyncio.create_task(work)
    try:
        try:
            yield
        except Exception:
            if task.done():
                task.result()
            raise
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
