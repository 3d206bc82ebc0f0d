"""What an operator does about dead letters: taking one in mends what it concerned; dropping ends the doubt."""

from uuid import uuid4

import asyncpg
import pytest
from test_rebuild import a_day, at_position, rows
from test_what_adds_up import slot_at
from the_log import POLICY

from booking.events.envelope import decode
from projector.consumer.apply import apply
from projector.dead_letters.drop import drop
from projector.dead_letters.letters import NoSuchLetter, list_letters
from projector.dead_letters.retry import StillPoison, retry
from projector.guards.checkpoint_compare_and_set import read_checkpoint
from projector.guards.dead_letters import SuspectSlots, bury
from projector.guards.one_epoch_only import begin_epoch
from projector.log_reader import read_letter, read_payloads
from projector.projections import TABLES
from projector.projections.histories import PART
from projector.rebuild.rebuild import rebuild
from projector.verify.verify import verify


@pytest.fixture
async def operator(writer: asyncpg.Pool):
    """A connection of a command's own."""
    async with writer.acquire() as connection:
        yield connection


async def a_day_of_everything(log) -> None:
    """Every type of event that tells of a change, so that each can be the one that was lost."""
    resource_id, (slot_id, other, *_) = await a_day(log, bookings=5)
    policy = {"resource_id": resource_id, "policy": POLICY | {"hold_seconds": 60}, "version": 2}
    await log.append("PolicyChanged", policy, resource_id=resource_id)
    booking_id, customer_id = await log.hold(slot_id, units=2), uuid4()
    transfer = {"version": 2, "customer_id": customer_id, "customer_id_before": uuid4()}
    await log.append("BookingTransferred", transfer, booking_id=booking_id)
    move = {
        "state": "held",
        "version": 3,
        "lines": [{"slot_id": other, "units": 2}],
        "lines_before": [{"slot_id": slot_id, "units": 2}],
    }
    touched = [log.touch(slot_id, held=-2), log.touch(other, held=2)]
    await log.append("BookingRescheduled", move, booking_id=booking_id, slots=touched)
    extend = {"version": 4, "expires_at": "2030-01-01T00:00:00Z"}
    await log.append("HoldExtended", extend, booking_id=booking_id)
    await log.close(slot_id)


async def all_of(owner) -> tuple:
    """The epoch of the log, and every event in it."""
    epoch = await owner.fetchval("SELECT epoch FROM published.head")
    payloads = await read_payloads(owner, epoch=epoch, after=0, limit=100)
    return epoch, [decode(payload) for _, payload in payloads]


async def project(owner, operator, epoch, events, *, lost: int) -> None:
    """Fold the log from the beginning, with the event at one position put aside."""
    for table in TABLES:
        await operator.execute(f"DELETE FROM read_model.{table}")
    at, suspects = (
        await begin_epoch(operator, await read_checkpoint(operator), epoch),
        SuspectSlots(),
    )
    for batch in (events[: lost - 1], events[lost:]):
        if batch:
            at = (await apply(operator, at, batch, heard=None, suspects=suspects)).checkpoint
        if at.position == lost - 1:
            letter = await read_letter(owner, lost, epoch=epoch)
            at = await bury(operator, at, letter, reason="code of yesterday")


async def test_whichever_event_was_lost_taking_it_in_makes_everything_right_again(
    log, owner, operator
):
    await a_day_of_everything(log)
    epoch, events = await all_of(owner)
    await project(owner, operator, epoch, events, lost=len(events) + 1000)
    whole = await rows(owner)
    for event in events:
        await project(owner, operator, epoch, events, lost=event.position)
        assert await rows(owner) != whole
        generation = (await read_checkpoint(owner)).generation
        letter = await retry(operator, owner, event.position)
        assert letter.type == event.type
        assert await rows(owner) == whole, f"after {event.type} at {event.position} was taken in"
        assert (await read_checkpoint(owner)).generation > generation


WITH_SUBSCRIPTS = "SELECT h::text FROM read_model.slot_history AS h ORDER BY part"


async def test_whichever_version_of_a_long_history_was_lost_it_gets_its_place(log, owner, operator):
    slot_id = await log.slot(capacity=1000)
    for _ in range(2 * PART):
        await log.hold(slot_id)
    epoch, events = await all_of(owner)
    await project(owner, operator, epoch, events, lost=len(events) + 1000)
    whole = await owner.fetch(WITH_SUBSCRIPTS)
    for lost in (1, 2, PART - 1, PART, PART + 1, 2 * PART):
        await project(owner, operator, epoch, events, lost=lost)
        assert await owner.fetch(WITH_SUBSCRIPTS) != whole
        await retry(operator, owner, lost)
        assert await owner.fetch(WITH_SUBSCRIPTS) == whole, f"after version {lost} was taken in"


async def spoil(log, slot_id, booking_id=None) -> int:
    return await log.append("HoldReleased", "{}", booking_id=booking_id, slot_ids=[slot_id])


async def test_what_todays_code_cannot_take_in_either_stays_as_it_is(
    log, stream, projector, owner, operator
):
    _, (slot_id, *_) = await a_day(log)
    position = await spoil(log, slot_id)
    await stream.copy()
    await at_position(owner, position)
    before = await rows(owner)
    with pytest.raises(StillPoison, match="ValidationError"):
        await retry(operator, owner, position)
    assert await rows(owner) == before
    with pytest.raises(NoSuchLetter, match="position 1"):
        await retry(operator, owner, 1)


async def test_a_dropped_event_makes_nothing_suspect_and_is_not_dug_up_again(
    log, stream, projector, owner, operator
):
    _, (slot_id, other, *_) = await a_day(log)
    booking_id = await log.hold(other)
    kept = await spoil(log, other)
    position = await spoil(log, slot_id, booking_id)
    await stream.copy()
    await at_position(owner, position)
    assert [letter.position for letter in await list_letters(operator)] == [kept, position]

    assert (await drop(operator, position)).booking_id == booking_id

    async def doubted() -> tuple:
        now = await rows(owner)
        return (
            [row[0] for row in now["dead_letter"]],
            [row[0] for row in now["suspect_slot"]],
            now["suspect_booking"],
        )

    assert await doubted() == ([kept], [other], [])
    assert (await verify(operator, owner)).verdict == "valid"
    assert (await rebuild(operator, owner)).left_out == 2
    assert await doubted() == ([kept], [other], [])


async def test_what_several_letters_doubt_stays_suspect_until_the_last_is_settled(
    log, stream, projector, owner, operator
):
    _, (slot_id, *_) = await a_day(log)
    booking_id = await log.hold(slot_id)
    letters = [await spoil(log, slot_id, booking_id) for _ in range(2)]
    await stream.copy()
    await at_position(owner, letters[-1])
    suspects = "SELECT count(*) FROM read_model.suspect_slot, read_model.suspect_booking"
    await drop(operator, letters[0])
    assert await owner.fetchval(suspects) == 1
    await drop(operator, letters[1])
    assert await owner.fetchval(suspects) == 0


async def test_a_slot_whose_opening_was_lost_stays_suspect_when_a_later_letter_is_settled(
    log, stream, projector, owner, operator
):
    resource_id = await log.resource()
    slot_id = await slot_at(log, resource_id, "no time")
    opening = log.position
    later = await spoil(log, slot_id)
    await log.hold(slot_id)  # tells its whole state, but not when it begins: there is no row for it
    await stream.copy()
    await at_position(owner, log.position)
    suspects = "SELECT count(*) FROM read_model.suspect_slot"
    await drop(operator, later)
    assert await owner.fetchval(suspects) == 1
    await drop(operator, opening)
    assert await owner.fetchval(suspects) == 0
