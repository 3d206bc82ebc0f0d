"""Periodic work goes on through failures, and ends when it is told to."""

from eventually import eventually

from booking.app import open_part
from booking.periodic import Periodic
from booking.settings import Settings


async def test_work_that_fails_is_tried_again_at_the_next_turn():
    turns = []

    async def fails_at_first():
        turns.append(len(turns))
        if len(turns) == 1:
            raise ConnectionError

    async with Periodic("test", fails_at_first, interval_s=0.001):
        await eventually(lambda: len(turns) > 2)


async def test_no_turn_begins_after_it_was_stopped():
    turns = []

    async def works():
        turns.append(len(turns))

    async with Periodic("test", works, interval_s=0.001) as periodic:
        await eventually(lambda: turns)
        periodic.stop()
        await eventually(periodic._task.done)


async def test_a_write_side_that_drains_no_longer_sweeps(database_url, database):
    settings = Settings(
        database_url=database_url, nats_url="nats://127.0.0.1:1", environment="development"
    )
    async with open_part(settings) as part:
        part.drain()
        await database.execute(
            "INSERT INTO booking.booking VALUES "
            "(gen_random_uuid(), gen_random_uuid(), 'held', 1, clock_timestamp(), 1)"
        )
    assert await database.fetchval("SELECT state FROM booking.booking") == "held"
