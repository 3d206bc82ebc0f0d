"""The projector: in order, once, from the stream or from the log, and never two at a time."""

import random
from collections import deque
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
from at_work import projecting
from eventually import eventually

from booking.edge.database import DatabaseClock
from booking.events.envelope import decode
from projector.consumer import intake as intake_module
from projector.consumer import projector as projector_module
from projector.consumer.apply import apply
from projector.consumer.due import Due
from projector.consumer.intake import Contradicted, Intake
from projector.consumer.metrics import ConsumerMetrics
from projector.consumer.order import Arrival, take_in_order
from projector.consumer.silence import Silence
from projector.guards.checkpoint_compare_and_set import (
    CheckpointMoved,
    move_checkpoint,
    read_checkpoint,
)
from projector.guards.dead_letters import SuspectSlots
from projector.guards.one_epoch_only import begin_epoch
from projector.log_reader import read_head, read_payloads
from projector.projections import TABLES

REMAINING = "SELECT remaining FROM read_model.slot WHERE slot_id = $1"


async def view(owner) -> dict[str, list[tuple]]:
    """All rows of the read model, comparable."""
    return {
        table: [
            tuple(row)
            for row in await owner.fetch(f"SELECT * FROM read_model.{table} ORDER BY 1, 2")
        ]
        for table in ("resource", "slot", "booking", "booking_line")
    }


async def at_position(owner, position: int) -> None:
    async def there() -> bool:
        return await owner.fetchval("SELECT position FROM read_model.checkpoint") == position

    await eventually(there, within_s=8, because=f"the checkpoint stands at {position}")


async def a_busy_day(log) -> list[UUID]:
    slots = [await log.slot(await log.resource(), capacity=50) for _ in range(3)]
    bookings = [await log.hold(*random.sample(slots, k=2), units=n % 3 + 1) for n in range(12)]
    for booking_id in bookings[::3]:
        await log.confirm(booking_id)
    for booking_id in bookings[::4]:
        await log.cancel(booking_id)
    return slots


async def test_a_booked_place_is_no_longer_offered_and_a_cancelled_one_is_again(
    log, stream, projector, owner
):
    slot_id = await log.slot(await log.resource(), capacity=3)
    booking_id = await log.hold(slot_id, units=2)
    await stream.copy()
    await at_position(owner, log.position)
    assert await owner.fetchval(REMAINING, slot_id) == 1

    await log.cancel(booking_id)
    await stream.copy()
    await at_position(owner, log.position)
    assert await owner.fetchval(REMAINING, slot_id) == 3


async def test_what_was_recorded_while_none_ran_comes_from_the_log(log, owner, writer, stream):
    async with projecting(writer, stream.url):
        pass
    await a_busy_day(log)
    await stream.delete()
    await stream.create(first_seq=log.position + 1)  # a stream that keeps nothing old
    async with projecting(writer, stream.url) as projector:
        await at_position(owner, log.position)
        assert projector.intake.from_log == log.position
        await log.slot()
        await stream.copy()
        await at_position(owner, log.position)
        assert projector.intake.from_log == log.position - 1


async def test_a_jump_is_seen_and_filled_from_the_log(log, stream, projector, owner):
    slot_id = await log.slot(capacity=9)
    await stream.copy()
    await at_position(owner, 1)
    for _ in range(3):
        await log.hold(slot_id)
    await stream.delete()
    await stream.create(first_seq=log.position)  # positions 2 and 3 will never come
    await stream.copy()
    await at_position(owner, log.position)
    assert await owner.fetchval(REMAINING, slot_id) == 6


async def test_when_the_stream_is_silent_the_log_is_asked(log, stream, projector, owner):
    slot_id = await log.slot(capacity=9)
    await log.hold(slot_id)  # never copied to the stream
    await at_position(owner, 2)
    assert await owner.fetchval(REMAINING, slot_id) == 8


async def test_shuffled_and_repeated_events_end_in_the_same_view(log, owner, writer):
    await a_busy_day(log)
    epoch = await owner.fetchval("SELECT epoch FROM published.head")
    events = await read_payloads(owner, epoch=epoch, after=0, limit=1000)
    chance = random.Random(7)  # noqa: S311  the same shuffle in every run
    arrived = deque(Arrival(*event) for event in events * 3)
    chance.shuffle(arrived)

    async def project(batch_max: int) -> dict:
        async with writer.acquire() as connection:
            for table in TABLES:
                await connection.execute(f"DELETE FROM read_model.{table}")
            at = await begin_epoch(connection, await read_checkpoint(connection), uuid4())
            coming = deque(arrived)
            while at.position < log.position:
                run, missing_up_to, _ = take_in_order(coming, after=at.position, limit=batch_max)
                if missing_up_to is not None:
                    run = [Arrival(*event) for event in events[at.position : missing_up_to]]
                batch = [decode(arrival.payload) for arrival in run]
                at = (
                    await apply(connection, at, batch, heard=None, suspects=SuspectSlots())
                ).checkpoint
        return await view(owner)

    one_by_one, at_once = await project(1), await project(1000)
    assert one_by_one == at_once
    assert one_by_one["booking"]


async def test_an_older_event_changes_nothing(log, owner, writer):
    slot_id = await log.slot(capacity=9)
    await log.hold(slot_id, units=4)
    epoch = await owner.fetchval("SELECT epoch FROM published.head")
    events = [decode(p) for _, p in await read_payloads(owner, epoch=epoch, after=0, limit=10)]
    async with writer.acquire() as connection:
        seen = await begin_epoch(connection, await read_checkpoint(connection), epoch)
        at = (await apply(connection, seen, events, heard=None, suspects=SuspectSlots())).checkpoint
        before = await view(owner)
        again = await apply(
            connection, at, events[:1], heard=None, suspects=SuspectSlots()
        )  # the checkpoint lets it pass
    assert again.slots == []
    assert await view(owner) == before


async def test_a_zombie_projector_cannot_write(log, owner, writer):
    slot_id = await log.slot(capacity=9)
    await log.hold(slot_id)
    epoch = await owner.fetchval("SELECT epoch FROM published.head")
    events = [decode(p) for _, p in await read_payloads(owner, epoch=epoch, after=0, limit=10)]
    async with writer.acquire() as connection:
        seen = await begin_epoch(connection, await read_checkpoint(connection), epoch)
        await apply(connection, seen, events, heard=None, suspects=SuspectSlots())
        after = await view(owner)
        with pytest.raises(CheckpointMoved):  # it woke up where it had fallen asleep
            await apply(connection, seen, events, heard=None, suspects=SuspectSlots())
        with pytest.raises(CheckpointMoved):
            await move_checkpoint(
                connection, seen, position=1, event_id=uuid4(), as_of=None, state="running"
            )
        with pytest.raises(CheckpointMoved):
            await begin_epoch(connection, seen, uuid4())
    assert await view(owner) == after


async def test_of_two_projectors_one_works_and_the_other_stands_by(
    log, owner, writer, stream, projector
):
    async with projecting(writer, stream.url, name="second"):
        for _ in range(5):
            await log.slot()
            await stream.copy()
            await at_position(owner, log.position)
    rows = await owner.fetchval("SELECT count(*) FROM read_model.slot")
    assert rows == log.position


async def test_unknown_types_are_skipped_and_unknown_members_ignored(log, owner, stream, projector):
    await log.append("WeatherForecast", {"rain": True})
    slot_id = await log.slot()
    await log.append("SlotClosed", {"because": "rain"}, slots=[log.touch(slot_id) | {"wet": True}])
    await stream.copy()
    await at_position(owner, 3)
    assert await owner.fetchval("SELECT version FROM read_model.slot") == 2


async def test_a_new_epoch_folds_the_log_again_under_a_new_generation(
    log, owner, stream, projector
):
    slot_id = await log.slot(capacity=9)
    await stream.copy()
    await at_position(owner, 1)
    await owner.execute("UPDATE read_model.slot SET version = 1000")  # of a history now lost
    before = await read_checkpoint(owner)
    await owner.execute("SELECT published.new_epoch(epoch) FROM published.head")

    async def begun_again() -> bool:
        now = await read_checkpoint(owner)
        return (now.position, now.state) == (1, "running") and now.epoch != before.epoch

    await eventually(begun_again)
    assert (await read_checkpoint(owner)).generation > before.generation
    assert await owner.fetchval("SELECT version FROM read_model.slot") == 1
    assert await owner.fetchval(REMAINING, slot_id) == 9


async def test_who_folds_the_log_again_wants_nothing_of_the_stream_meanwhile(
    log, owner, stream, projector, monkeypatch
):
    await log.slot()
    await stream.copy()
    await at_position(owner, 1)
    await eventually(projector.stream.wanted.is_set)
    rebuild, wanted = projector_module.rebuild, []

    async def watched(*arguments, **how):
        wanted.append((projector.stream.wanted.is_set(), len(projector.stream.arrived)))
        return await rebuild(*arguments, **how)

    monkeypatch.setattr(projector_module, "rebuild", watched)
    await owner.execute("SELECT published.new_epoch(epoch) FROM published.head")
    await eventually(lambda: wanted and projector.state == "running")
    assert wanted == [(False, 0)]
    await eventually(projector.stream.wanted.is_set)


async def test_whoever_is_far_behind_hears_of_a_new_epoch_before_the_end_of_the_old_log(
    log, owner, monkeypatch
):
    monkeypatch.setattr(intake_module, "BATCH_MAX", 1)
    monkeypatch.setattr(intake_module, "SILENT_S", 0)  # it asks between any two pages
    for _ in range(3):
        await log.slot()
    head = await read_head(owner)
    async with DatabaseClock(owner) as clock:
        due = Due(timedelta(), clock.now_at_least)
        intake = Intake(owner, Silence(), due, ConsumerMetrics())
        intake.begin(head.epoch, after=0, event_id=None, head=head)
        await intake.collect()
        assert intake.taken == 1

        await owner.execute("SELECT published.new_epoch(epoch) FROM published.head")

        with pytest.raises(Contradicted, match="has begun"):
            await intake.collect()


async def test_a_log_that_contradicts_the_checkpoint_begins_a_new_epoch(log, owner, writer, stream):
    await log.slot()
    epoch = await stream.epoch()
    await owner.execute(
        "UPDATE read_model.checkpoint SET epoch = $1, position = 1, event_id = $2, "
        "as_of = now(), state = 'running'",
        epoch,
        uuid4(),
    )
    async with projecting(writer, stream.url):

        async def met() -> bool:
            return (await read_checkpoint(owner)).epoch not in (None, epoch)

        await eventually(met)
    assert await stream.epoch() != epoch


async def test_a_heartbeat_raises_as_of_only_for_who_has_heard_everything(
    log, owner, stream, projector
):
    await log.slot()
    await stream.copy()
    await at_position(owner, 1)
    heartbeat = await stream.heartbeat()

    async def raised() -> bool:
        return (await read_checkpoint(owner)).as_of >= heartbeat.at

    await eventually(raised)


async def test_injected_lag_hides_events_and_heartbeats_for_that_long(log, owner, stream, writer):
    lag = timedelta(milliseconds=300)
    seen: list[asyncpg.Record] = []
    async with projecting(writer, stream.url, lag_ms=300):
        for _ in range(5):
            await log.slot()
            await stream.copy()
            await stream.heartbeat()

        async def all_there() -> bool:
            # One snapshot: what is readable, and the database's time at that moment.
            seen.append(
                await owner.fetchrow(
                    "SELECT position, as_of, clock_timestamp() AS now FROM read_model.checkpoint"
                )
            )
            return seen[-1]["position"] == 5

        await eventually(all_there, every_s=0.005)
    recorded_at = dict(await owner.fetch('SELECT "position", recorded_at FROM published.events'))
    for row in seen:
        if row["position"] > 0:
            assert row["now"] - recorded_at[row["position"]] >= lag
        if row["as_of"] is not None:
            assert row["now"] - row["as_of"] >= lag


async def test_it_goes_on_when_nats_is_away(log, owner, fresh_nats, stream, projector):
    await log.slot()
    await stream.copy()
    await at_position(owner, 1)
    await stream.client.close()
    await fresh_nats.stop()
    await log.slot()
    await at_position(owner, 2)
