"""Without NATS: the projector looks at the log, page by page, and is as honest as with it."""

import asyncio
from uuid import uuid4

import pytest
from at_work import projecting
from eventually import eventually

from projector.guards.checkpoint_compare_and_set import read_checkpoint
from projector.process import run
from projector.settings import Settings


async def at_position(owner, position: int) -> None:
    async def there() -> bool:
        return await owner.fetchval("SELECT position FROM read_model.checkpoint") == position

    await eventually(there, within_s=8, because=f"the checkpoint stands at {position}")


async def test_what_is_committed_is_seen_without_any_message(log, owner, writer):
    async with projecting(writer, None, poll_s=0.02) as projector:
        slot_id = await log.slot(capacity=9)
        await at_position(owner, 1)
        for _ in range(5):
            await log.hold(slot_id)
        await at_position(owner, 6)
        assert projector.intake.from_log == 6
    assert await owner.fetchval("SELECT remaining FROM read_model.slot") == 4


async def test_a_long_backlog_is_read_page_by_page_without_pausing(log, owner, writer):
    async with projecting(writer, None, poll_s=60.0):  # one look, and then no second one in time
        await owner.execute(
            """
            WITH head AS (UPDATE booking.log_head SET "position" = 3500, recorded_at = now())
            INSERT INTO booking.event_log ("position", event_id, type, recorded_at, actor,
                command_id, slot_ids, slots, data)
            SELECT n, uuidv7(), 'SlotClosed', now(), 'a test', 'c', '{}', '[]', '{}'
            FROM generate_series(1, 3500) AS n
            """
        )
    async with projecting(writer, None, poll_s=60.0):
        await at_position(owner, 3500)


async def test_as_of_moves_on_while_nothing_happens(log, owner, writer):
    async with projecting(writer, None, poll_s=0.02):
        await log.slot()
        await at_position(owner, 1)
        before = (await read_checkpoint(owner)).as_of

        async def moved_on() -> bool:
            return (await read_checkpoint(owner)).as_of > before

        await eventually(moved_on)


async def test_a_log_that_was_put_back_is_noticed_by_the_next_look(log, owner, writer):
    slot_id = await log.slot(capacity=9)
    await log.hold(slot_id)
    async with projecting(writer, None, poll_s=0.02):
        await at_position(owner, 2)
        before = await read_checkpoint(owner)
        async with owner.acquire() as connection, connection.transaction():
            # What an older copy of the database looks like once it has grown again.
            await connection.execute("SET LOCAL session_replication_role = replica")
            await connection.execute(
                'UPDATE booking.event_log SET event_id = $1 WHERE "position" = 2', uuid4()
            )

        async def a_new_history() -> bool:
            now = await read_checkpoint(owner)
            return now.epoch != before.epoch and (now.position, now.state) == (2, "running")

        await eventually(a_new_history, within_s=8)
    assert await owner.fetchval("SELECT epoch FROM published.head") != before.epoch


async def test_an_epoch_begun_by_somebody_else_is_noticed_too(log, owner, writer):
    await log.slot()
    async with projecting(writer, None, poll_s=0.02):
        await at_position(owner, 1)
        epoch = await owner.fetchval("SELECT published.new_epoch(epoch) FROM published.head")

        async def followed() -> bool:
            now = await read_checkpoint(owner)
            return (now.epoch, now.position, now.state) == (epoch, 1, "running")

        await eventually(followed, within_s=8)


async def test_the_process_needs_no_address_of_nats(log, owner, database_url):
    settings = Settings(
        database_url=database_url,
        log_database_url=database_url,
        environment="development",
        sync="polling",
        poll_ms=10,
    )
    stop = asyncio.Event()
    running = asyncio.create_task(run(settings, stop))
    try:
        await log.slot()
        await at_position(owner, 1)
    finally:
        stop.set()
        await running


@pytest.mark.parametrize("missing", [2, 3])
async def test_a_number_that_is_missing_is_waited_for(log, owner, writer, missing):
    """Positions are dense and in the order of commits, so this cannot happen to the product's log."""
    await log.slot()
    async with projecting(writer, None, poll_s=0.01):
        await at_position(owner, 1)
        numbers = [n for n in (2, 3, 4) if n != missing]
        await insert(owner, *numbers)
        await at_position(owner, missing - 1)
        await insert(owner, missing)  # committed late
        await at_position(owner, 4)
    assert await counted(owner) == 3


async def test_reading_by_number_alone_passes_over_what_commits_late(log, owner, writer):
    await log.slot()
    async with projecting(writer, None, poll_s=0.01, guard="poll_by_id"):
        await at_position(owner, 1)
        await insert(owner, 3, 4)
        await at_position(owner, 4)
        await insert(owner, 2)  # committed late, and never delivered
        await insert(owner, 5)
        await at_position(owner, 5)
    assert await counted(owner) == 3  # of four


async def insert(owner, *positions: int) -> None:
    """Events under these numbers, as an insert with numbers from a sequence would leave them."""
    await owner.execute(
        """
        WITH head AS (UPDATE booking.log_head SET "position" = greatest("position", $2))
        INSERT INTO booking.event_log ("position", event_id, type, recorded_at, actor, command_id,
            resource_id, slot_ids, slots, data)
        SELECT n, uuidv7(), 'ResourceCreated', now(), 'a test', 'c', uuidv7(), '{}', '[]',
            json_build_object('resource_id', uuidv7(), 'name', 'R' || n, 'time_zone', 'UTC',
                'version', 1, 'policy', json_build_object('hold_seconds', 900,
                    'units_per_booking_max', NULL, 'units_per_customer_max', NULL,
                    'overbooking_units', 0))
        FROM unnest($1::bigint[]) AS n
        """,
        positions,
        max(positions),
    )


async def counted(owner) -> int:
    return await owner.fetchval("SELECT count(*) FROM read_model.resource")
