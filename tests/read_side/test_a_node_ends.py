"""A query node ends for certain, whatever its connection to NATS is doing at that moment."""

import asyncio

from at_work import answering

from projector.replica import feed as feed_module


async def test_a_feed_that_is_still_connecting_ends_although_it_lost_the_first_request(
    database_url, fresh_nats, monkeypatch
):
    """As the driver's connecting loses one, before Python 3.12: the inner result wins."""
    connecting = asyncio.Event()

    async def loses_one(_url: str, *, name: str) -> None:
        connecting.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.Event().wait()

    monkeypatch.setattr(feed_module, "connect", loses_one)
    async with answering(database_url, fresh_nats.url):
        await connecting.wait()
        there = {task for task in asyncio.all_tasks() if task.get_name().startswith("change-feed")}

    assert len(there) == 2
    assert all(task.done() for task in there)
