"""The relay at work beside a projector, as in the whole system."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from eventually import eventually

from booking.relay.condition import Condition
from booking.relay.run import keep_relaying
from booking.settings import Settings


@asynccontextmanager
async def relaying(database_url: str, nats_url: str) -> AsyncIterator[Condition]:
    """A relay that keeps the stream a copy of the log; `missing()` says what it waits for."""
    settings = Settings(database_url=database_url, nats_url=nats_url, environment="development")
    stop, condition = asyncio.Event(), Condition()
    task = asyncio.create_task(keep_relaying(settings, condition, stop))

    async def well() -> bool:
        return await condition.missing() == []

    try:
        await eventually(well, within_s=15)
        yield condition
    finally:
        stop.set()
        async with asyncio.timeout(10):
            await task
