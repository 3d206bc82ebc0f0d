"""An event that cannot be taken in stops nobody: it is kept, and what it concerned is suspect."""

from uuid import uuid4

import pytest
from eventually import eventually

from booking.edge.database import CONNECTION_LOST
from booking.events.envelope import decode
from projector.consumer.apply import Poison, apply
from projector.guards.checkpoint_compare_and_set import CheckpointMoved, read_checkpoint
from projector.guards.dead_letters import (
    BURIED_MAX,
    SuspectSlots,
    bury,
)
from projector.guards.one_epoch_only import begin_epoch
from projector.log_reader import read_letter, read_payloads

SUSPECT = "SELECT slot_id FROM read_model.suspect_slot"
SUSPECT_BOOKINGS = "SELECT booking_id FROM read_model.suspect_booking"


async def at_position(owner, position: int) -> None:
    async def there() -> bool:
        return await owner.fetchval("SELECT position FROM read_model.checkpoint") == position

    await eventually(there, within_s=8, because=f"the checkpoint stands at {position}")


async def spoil(log, slot_id, *, data="{}", booking_id=None, slots="[]") -> int:
    """An event of a known type whose payload nobody can take in; its columns say whom it concerns."""
    return await log.append(
        "HoldPlaced", data, booking_id=booking_id, slot_ids=[slot_id], slots=slots
    )


@pytest.mark.parametrize(
    "payload",
    [
        {"data": '{"state": "held"}'},
        {"slots": '[{"slot_id": "nobody"}]'},
        {"data": '{"customer_id": "00000000-0000-0000-0000-000000000001", "state": "held", '
                 '"version": 99999999999999999999, "expires_at": null, "lines": [], "before": null}'},
    ],
    ids=["unfoldable", "undecodable", "unwritable"],
)  # fmt: skip
async def test_the_flow_goes_on_and_what_it_concerned_is_suspect(
    log, owner, stream, projector, payload
):
    slot_id, other = await log.slot(capacity=9), await log.slot(capacity=9)
    await stream.copy()
    await at_position(owner, 2)
    before = await read_checkpoint(owner)
    booking_id = uuid4()
    position = await spoil(log, slot_id, booking_id=booking_id, **payload)
    await log.hold(other)
    await stream.copy()
    await at_position(owner, position + 1)
    assert await owner.fetch(SUSPECT) == [(slot_id,)]
    assert await owner.fetch(SUSPECT_BOOKINGS) == [(booking_id,)]
    letter = await owner.fetchrow("SELECT * FROM read_model.dead_letter")
    assert (letter["position"], letter["type"], letter["booking_id"]) == (
        position,
        "HoldPlaced",
        booking_id,
    )
    assert letter["reason"]
    assert (await read_checkpoint(owner)).generation == before.generation + 1
    assert projector.state in ("running", "behind")


async def test_a_slot_is_trusted_again_when_a_newer_event_says_its_whole_state(
    log, owner, stream, projector
):
    slot_id = await log.slot(capacity=9)
    booking_id = uuid4()
    await spoil(log, slot_id, booking_id=booking_id)
    await stream.copy()
    await at_position(owner, 2)
    before = await read_checkpoint(owner)
    await log.hold(slot_id)
    await stream.copy()
    await at_position(owner, 3)
    assert await owner.fetch(SUSPECT) == []
    assert await owner.fetch(SUSPECT_BOOKINGS) == [(booking_id,)]  # told in changes, so still so
    assert (await read_checkpoint(owner)).generation == before.generation + 1


async def test_a_slot_whose_opening_was_lost_stays_suspect(log, owner, stream, projector):
    slot_id = await log.slot(capacity=9, data={"starts_at": "never"})
    await log.hold(slot_id)
    await stream.copy()
    await at_position(owner, 2)
    assert await owner.fetch(SUSPECT) == [(slot_id,)]
    assert await owner.fetchval("SELECT count(*) FROM read_model.slot") == 0


async def test_what_only_the_stream_spoilt_is_read_from_the_log_and_is_no_dead_letter(
    log, owner, stream, projector
):
    slot_id = await log.slot(capacity=9)
    await stream.copy()
    await log.hold(slot_id)
    epoch = await stream.epoch()
    ((position, sound),) = await read_payloads(owner, epoch=epoch, after=1, limit=1)
    await stream.publish(sound.replace(b'"version":2', b'"version":"two"'))
    await at_position(owner, position)
    assert await owner.fetchval("SELECT count(*) FROM read_model.dead_letter") == 0
    assert await owner.fetchval("SELECT remaining FROM read_model.slot") == 8


async def test_a_database_that_is_away_is_no_fault_of_an_event(log, owner, writer):
    await log.slot()
    epoch = await owner.fetchval("SELECT epoch FROM published.head")
    events = [decode(p) for _, p in await read_payloads(owner, epoch=epoch, after=0, limit=10)]
    async with writer.acquire() as connection:
        seen = await begin_epoch(connection, await read_checkpoint(connection), epoch)
        await owner.execute("SELECT pg_terminate_backend($1)", connection.get_server_pid())
        with pytest.raises(CONNECTION_LOST):
            await apply(connection, seen, events, heard=None, suspects=SuspectSlots())
    assert await owner.fetchval("SELECT count(*) FROM read_model.dead_letter") == 0


async def test_a_zombie_buries_nobody(log, owner, writer):
    slot_id = await log.slot()
    await spoil(log, slot_id)
    epoch = await owner.fetchval("SELECT epoch FROM published.head")
    async with writer.acquire() as connection:
        seen = await begin_epoch(connection, await read_checkpoint(connection), epoch)
        letter = await read_letter(owner, 1, epoch=epoch)
        await bury(connection, seen, letter, reason="a test")
        with pytest.raises(CheckpointMoved):
            await bury(connection, seen, letter, reason="a zombie")
    assert await owner.fetchval("SELECT reason FROM read_model.dead_letter") == "a test"


async def test_when_too_many_of_the_last_events_cannot_be_taken_in_it_stops_loudly(
    log, owner, stream, projector
):
    for _ in range(BURIED_MAX + 1):
        await log.append("HoldPlaced", "{}")
    await eventually(lambda: projector.state == "stopped", within_s=8)
    assert "update the projector" in projector.stopped_because
    assert (await read_checkpoint(owner)).position == BURIED_MAX
    assert await owner.fetchval("SELECT count(*) FROM read_model.dead_letter") == BURIED_MAX


async def test_poison_is_told_from_its_neighbours_however_large_the_batch(log, owner, writer):
    slots = [await log.slot() for _ in range(5)]
    await spoil(log, slots[0], data='{"customer_id": "x"}')
    await log.hold(slots[1])
    epoch = await owner.fetchval("SELECT epoch FROM published.head")
    events = [decode(p) for _, p in await read_payloads(owner, epoch=epoch, after=0, limit=10)]
    async with writer.acquire() as connection:
        seen = await begin_epoch(connection, await read_checkpoint(connection), epoch)
        done = await apply(connection, seen, events, heard=None, suspects=SuspectSlots())
        assert done.events == 5
        with pytest.raises(Poison) as poison:
            await apply(
                connection, done.checkpoint, events[5:], heard=None, suspects=SuspectSlots()
            )
        assert poison.value.position == 6


async def test_operators_see_how_many_there_are(log, owner, stream, api):
    await spoil(log, await log.slot())
    await stream.copy()
    await at_position(owner, 2)

    async def told() -> bool:
        answer = (await api.get("/v1/consistency")).json()
        return [p["dead_letters"] for p in answer["projectors"]] == [1]

    # A test's projector writes no row of its own; one row stands in for it.
    await owner.execute(
        "INSERT INTO read_model.projectors (name, state, position) VALUES ('p', 'running', 2)"
    )
    await eventually(told)


async def test_a_projector_that_says_nothing_for_three_seconds_is_shown_as_stopped(
    owner, stream, api
):
    """Killed or frozen, it cannot say so itself; with its last word it would be `running` for ever."""
    await owner.execute(
        """
        INSERT INTO read_model.projectors (name, state, position, seen_at)
        VALUES ('alive', 'running', 0, now()), ('gone', 'running', 0, now() - interval '4 seconds'),
               ('long gone', 'running', 0, now() - interval '20 seconds')
        """
    )
    projectors = (await api.get("/v1/consistency")).json()["projectors"]
    told = {p["name"]: (p["state"], p["reason"]) for p in projectors}
    assert told["alive"] == ("running", None)
    assert told["gone"][0] == "stopped"
    assert told["gone"][1].startswith("not heard of since ")
    assert "long gone" not in told
