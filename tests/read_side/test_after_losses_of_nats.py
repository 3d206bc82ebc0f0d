"""Whatever NATS loses: within 10 s of its being up the read model goes on, and nothing was skipped."""

import shutil

import nats
import pytest
from at_work import projecting
from eventually import eventually
from relaying import relaying

from booking.events.subjects import STREAM
from booking.relay import stream as stream_module
from projector.consumer import intake as intake_module

HEALED_WITHIN_S = 10
"""The promise: of the copy and of the read model, after NATS is up."""


async def deleted(server) -> None:
    client = await nats.connect(server.url)
    await client.jetstream().delete_stream(STREAM)
    await client.close()


async def purged(server) -> None:
    client = await nats.connect(server.url)
    await client.jetstream().purge_stream(STREAM)
    await client.close()


async def a_message_deleted(server) -> None:
    client = await nats.connect(server.url)
    await client.jetstream().delete_msg(STREAM, 3)
    await client.close()


async def the_tail_lost(server) -> None:
    """An older copy of the store is put back, as after a power cut."""
    older = server.store_dir.with_name("older")
    await server.child.stop()
    shutil.rmtree(server.store_dir)
    older.rename(server.store_dir)
    await server.start()


async def wiped(server) -> None:
    await server.child.stop()
    shutil.rmtree(server.store_dir)
    await server.start()


@pytest.fixture
def unprotected(monkeypatch):
    """A stream that may be emptied, as corruption or a determined operator would."""
    as_made = stream_module.settings_of

    def settings_of(epoch, *, first_position):
        protected = as_made(epoch, first_position=first_position)
        return protected.evolve(deny_delete=False, deny_purge=False)

    monkeypatch.setattr(stream_module, "settings_of", settings_of)


def streamed(server, log):
    """The copy is whole again, so the next events come by it and not by the log."""

    async def whole() -> bool:
        client = await nats.connect(server.url)
        try:
            return (await client.jetstream().stream_info(STREAM)).state.last_seq == log.position
        except nats.js.errors.NotFoundError:
            return False
        finally:
            await client.close()

    return eventually(whole, within_s=HEALED_WITHIN_S)


@pytest.fixture
async def projector(log, writer, fresh_nats, database_url, unprotected):
    """A projector beside a relay, and beside the store a copy from when it held one event."""
    async with relaying(database_url, fresh_nats.url):
        await log.slot()
        await streamed(fresh_nats, log)
    await fresh_nats.child.stop()
    shutil.copytree(fresh_nats.store_dir, fresh_nats.store_dir.with_name("older"))
    await fresh_nats.start()
    async with (
        relaying(database_url, fresh_nats.url),
        projecting(writer, fresh_nats.url) as projector,
    ):
        yield projector


@pytest.mark.timeout(60)
@pytest.mark.parametrize("loss", [deleted, purged, a_message_deleted, the_tail_lost, wiped])
async def test_it_heals_in_the_same_epoch_and_skips_nothing(
    log, owner, fresh_nats, projector, loss
):
    async def caught_up() -> bool:
        return await owner.fetchval("SELECT position FROM read_model.checkpoint") == log.position

    slot_id = await log.slot(capacity=500)
    for _ in range(10):
        await log.hold(slot_id)
    await eventually(caught_up)
    await streamed(fresh_nats, log)
    epoch = await owner.fetchval("SELECT epoch FROM published.head")
    await loss(fresh_nats)
    for _ in range(10):
        await log.hold(slot_id)
    await eventually(caught_up, within_s=HEALED_WITHIN_S)
    await streamed(fresh_nats, log)

    async def comes_by_the_stream() -> bool:
        before = projector.intake.from_log
        await log.hold(slot_id)
        await eventually(caught_up)
        return projector.intake.from_log == before

    await eventually(comes_by_the_stream, within_s=HEALED_WITHIN_S)
    assert await owner.fetchval("SELECT epoch FROM published.head") == epoch
    slots = await owner.fetch(
        "SELECT slot_id, state, capacity, held, confirmed, version FROM read_model.slot"
    )
    assert {tuple(row) for row in slots} == log.truth()["slots"]
    bookings = await owner.fetchval("SELECT count(*) FROM read_model.booking")
    assert bookings == len(log.truth()["bookings"])


async def test_while_nats_is_away_the_log_is_asked_twenty_times_a_second(
    log, owner, fresh_nats, projector, monkeypatch
):
    monkeypatch.setattr(intake_module, "SILENT_S", 3.0)  # far longer than what is waited below

    async def caught_up() -> bool:
        return await owner.fetchval("SELECT position FROM read_model.checkpoint") == log.position

    await fresh_nats.child.stop()
    slot_id = await log.slot(capacity=500)
    await eventually(caught_up, within_s=10, because="the silence was noticed")

    for _ in range(10):
        await log.hold(slot_id)
        await eventually(caught_up, within_s=1, because="nobody waits for a new silence each time")
