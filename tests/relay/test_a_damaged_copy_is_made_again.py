"""Whatever happens to the stream, it comes back with the same numbers; only history has an epoch."""

import shutil
from uuid import UUID

import asyncpg
import pytest
from log_and_stream import (
    assert_the_stream_is_the_log,
    epoch_of,
    log_row,
    relay_everything,
    relay_on,
    rewind,
    try_to_relay_everything,
    write_events,
)
from nats.js.api import StreamConfig
from nats.js.errors import NoStreamResponseError

from booking.events.subjects import STREAM, stream_subjects
from booking.relay import agree as agree_module
from booking.relay import relay as relay_module
from booking.relay import stream as stream_module
from booking.relay.agree import NoAgreement, agree
from booking.relay.compare import Finding
from booking.relay.connect_nats import connected_to_nats
from booking.relay.publish import Outrun, publish


@pytest.fixture(autouse=True)
def _look_every_round(monkeypatch):
    """The stream is compared at every round, not every 2 s, so no test has to wait for it."""
    monkeypatch.setattr(relay_module, "AGREE_EVERY_S", 0)


@pytest.fixture
def unprotected(monkeypatch):
    """A stream whose messages can be deleted, as corruption or a determined operator would."""
    as_made = stream_module.settings_of

    def settings_of(epoch, *, first_position):
        protected = as_made(epoch, first_position=first_position)
        return protected.evolve(deny_delete=False, deny_purge=False)

    monkeypatch.setattr(stream_module, "settings_of", settings_of)


def findings(rounds) -> list[Finding]:
    return [finding for done in rounds for finding in done.healed]


async def test_a_deleted_stream_comes_back_with_the_same_numbers(database, relay, nats):
    await write_events(database, 12)
    await relay_everything(relay)
    await nats.jetstream().delete_stream(STREAM)

    await write_events(database, 3)
    rounds = await relay_everything(relay)

    assert findings(rounds) == [Finding.MISSING]
    await assert_the_stream_is_the_log(database, nats)


async def test_a_stream_made_by_hand_is_replaced_by_the_relays_own(database, relay, nats):
    await write_events(database, 12)
    await relay_everything(relay)
    jetstream = nats.jetstream()
    await jetstream.delete_stream(STREAM)
    await jetstream.add_stream(
        StreamConfig(name=STREAM, subjects=[stream_subjects(await epoch_of(database))])
    )

    rounds = await relay_everything(relay)

    assert findings(rounds) == [Finding.OF_ANOTHER_EPOCH]
    await assert_the_stream_is_the_log(database, nats)


async def test_a_stream_of_an_epoch_that_no_log_ever_began_ends_none(database, relay, nats):
    await write_events(database, 12)
    await relay_everything(relay)
    epoch, invented = await epoch_of(database), UUID("ffffffff-ffff-4fff-bfff-ffffffffffff")
    await nats.jetstream().delete_stream(STREAM)
    await nats.jetstream().add_stream(stream_module.settings_of(invented, first_position=1))

    rounds = await relay_everything(relay)

    assert findings(rounds) == [Finding.OF_ANOTHER_EPOCH]
    assert await epoch_of(database) == epoch
    await assert_the_stream_is_the_log(database, nats)


async def test_an_emptied_stream_goes_on_where_it_was(database, unprotected, relay, nats):
    await write_events(database, 12)
    await relay_everything(relay)
    await nats.jetstream().purge_stream(STREAM)

    rounds = await relay_everything(relay)
    await write_events(database, 3)
    rounds += await relay_everything(relay)

    assert findings(rounds) == []  # nothing of it contradicts the log: as if all had expired
    await assert_the_stream_is_the_log(database, nats, first=13)


async def test_an_empty_stream_numbered_beyond_the_log_is_made_again(
    database, unprotected, relay, nats
):
    await write_events(database, 12)
    await relay_everything(relay)
    await nats.jetstream().purge_stream(STREAM)
    await rewind(database, 10)

    rounds = await relay_everything(relay)

    assert findings(rounds) == [Finding.BEYOND_THE_LOG]
    await assert_the_stream_is_the_log(database, nats)


async def test_a_lost_tail_is_published_again_with_the_same_numbers(
    database, database_url, fresh_nats
):
    async with relay_on(database_url, fresh_nats.url) as relay:
        await write_events(database, 10)
        await relay_everything(relay)
    await fresh_nats.child.stop()
    older = fresh_nats.store_dir.with_name("older")
    shutil.copytree(fresh_nats.store_dir, older)
    await fresh_nats.start()
    async with relay_on(database_url, fresh_nats.url) as relay:
        await write_events(database, 20)
        await relay_everything(relay)
    await fresh_nats.child.stop()
    shutil.rmtree(fresh_nats.store_dir)
    older.rename(fresh_nats.store_dir)
    await fresh_nats.start()

    async with relay_on(database_url, fresh_nats.url) as relay:
        rounds = await relay_everything(relay)

    assert (findings(rounds), rounds[0].published) == ([], 20)
    async with connected_to_nats(fresh_nats.url, name="test") as nats:
        await assert_the_stream_is_the_log(database, nats)


async def test_after_all_of_nats_was_wiped_the_numbers_are_the_same(
    database, database_url, fresh_nats
):
    async with relay_on(database_url, fresh_nats.url) as relay:
        await write_events(database, 10)
        await relay_everything(relay)
    await fresh_nats.child.stop()
    shutil.rmtree(fresh_nats.store_dir)
    await fresh_nats.start()

    async with relay_on(database_url, fresh_nats.url) as relay:
        rounds = await relay_everything(relay)

    assert findings(rounds) == [Finding.MISSING]
    async with connected_to_nats(fresh_nats.url, name="test") as nats:
        await assert_the_stream_is_the_log(database, nats)


async def test_a_hole_is_mended(database, unprotected, relay, nats):
    await write_events(database, 12)
    await relay_everything(relay)

    await nats.jetstream().delete_msg(STREAM, 7)
    rounds = await relay_everything(relay)

    assert findings(rounds) == [Finding.HOLES]
    await assert_the_stream_is_the_log(database, nats)


async def test_a_deleted_last_message_is_a_hole_like_any_other(database, unprotected, relay, nats):
    await write_events(database, 12)
    await relay_everything(relay)

    await nats.jetstream().delete_msg(STREAM, 12)
    rounds = await relay_everything(relay)

    assert findings(rounds) == [Finding.HOLES]
    await assert_the_stream_is_the_log(database, nats)


@pytest.mark.parametrize("events_meanwhile", [0, 1, 5])
async def test_a_foreign_message_makes_a_new_copy_of_the_same_epoch(
    database, relay, nats, events_meanwhile
):
    await write_events(database, 12)
    await relay_everything(relay)
    epoch = await epoch_of(database)
    await nats.jetstream().publish(f"booking.events.{epoch}.several.HoldPlaced", b"not ours")

    await write_events(database, events_meanwhile)
    rounds = await relay_everything(relay)

    assert findings(rounds) == [Finding.FOREIGN_TAIL]
    assert await epoch_of(database) == epoch
    await assert_the_stream_is_the_log(database, nats)


async def test_a_foreign_message_is_found_by_the_next_append_too(
    database, relay, nats, monkeypatch
):
    monkeypatch.setattr(relay_module, "AGREE_EVERY_S", 3600)
    await write_events(database, 12)
    await relay_everything(relay)
    epoch = await epoch_of(database)
    await nats.jetstream().publish(f"booking.events.{epoch}.several.HoldPlaced", b"not ours")

    await write_events(database, 3)
    with pytest.raises(Outrun, match="wrong last sequence: 13"):
        await relay.run_once()
    rounds = await relay_everything(relay)

    assert findings(rounds) == [Finding.FOREIGN_TAIL]
    assert await epoch_of(database) == epoch
    await assert_the_stream_is_the_log(database, nats)


async def test_a_message_that_copies_an_event_to_another_place_is_foreign(database, relay, nats):
    await write_events(database, 12)
    await relay_everything(relay)
    jetstream = nats.jetstream()
    copied = await jetstream.get_msg(STREAM, 12)
    await jetstream.publish(copied.subject, copied.data, headers={"Nats-Msg-Id": "another"})

    rounds = await relay_everything(relay)

    assert findings(rounds) == [Finding.FOREIGN_TAIL]
    await assert_the_stream_is_the_log(database, nats)


@pytest.mark.parametrize("events_after_the_rewind", [0, 2, 9])
async def test_a_log_that_was_put_back_begins_a_new_epoch(
    database, relay, nats, events_after_the_rewind
):
    await write_events(database, 12)
    await relay_everything(relay)
    before = await epoch_of(database)

    await rewind(database, 8)
    await write_events(database, events_after_the_rewind)
    rounds = await try_to_relay_everything(relay)

    assert findings(rounds) == [Finding.ANOTHER_HISTORY, Finding.OF_ANOTHER_EPOCH]
    assert await epoch_of(database) > before
    await assert_the_stream_is_the_log(database, nats)


async def test_a_log_that_was_put_back_to_before_an_epoch_does_not_take_up_its_old_one(
    database, relay, nats
):
    await write_events(database, 12)
    await relay_everything(relay)
    earliest = await epoch_of(database)
    later = await database.fetchval("SELECT published.new_epoch($1)", earliest)
    await write_events(database, 3)
    await relay_everything(relay)

    # A backup from before `later`: tokens of positions 13.. are out there.
    await rewind(database, 12)
    await database.execute("UPDATE booking.log_head SET epoch = $1", earliest)
    rounds = await try_to_relay_everything(relay)

    assert findings(rounds) == [Finding.OF_A_LATER_EPOCH, Finding.OF_ANOTHER_EPOCH]
    assert await epoch_of(database) > later
    await assert_the_stream_is_the_log(database, nats)


async def test_a_new_epoch_is_later_than_any_that_was_seen_whatever_the_clock_says(database):
    before = await epoch_of(database)
    seen = await database.fetchval("SELECT uuidv7(interval '1 day')")  # its clock was ahead
    after = await database.fetchval("SELECT published.new_epoch($1, $2)", before, seen)
    assert after > seen
    assert await database.fetchval("SELECT published.new_epoch($1)", after) > after
    unchanged = await epoch_of(database)
    assert await database.fetchval("SELECT published.new_epoch($1, $2)", before, seen) == unchanged


async def test_an_epoch_ended_by_somebody_else_is_followed(database, relay, nats):
    await write_events(database, 12)
    await relay_everything(relay)
    before = await epoch_of(database)

    after = await database.fetchval("SELECT published.new_epoch($1)", before)
    rounds = await relay_everything(relay)

    assert findings(rounds) == [Finding.OF_ANOTHER_EPOCH]
    assert await epoch_of(database) == after
    await assert_the_stream_is_the_log(database, nats)


async def test_a_relay_of_an_ended_epoch_has_nowhere_to_publish(
    database, database_url, fresh_nats, relay, nats
):
    await write_events(database, 12)
    await relay_everything(relay)
    before = await epoch_of(database)
    await database.execute("SELECT published.new_epoch($1)", before)
    await relay_everything(relay)

    with pytest.raises(NoStreamResponseError):
        await publish(nats, before, [await log_row(database, 12)])

    await assert_the_stream_is_the_log(database, nats)


async def test_a_copy_of_a_long_log_holds_its_newest_hundred_thousand_events(
    database_url, database, fresh_nats, nats
):
    await write_events(database, 100_010)

    async with asyncpg.create_pool(database_url, min_size=1, max_size=1) as log:
        agreement = await agree(log, nats.jetstream())

    assert agreement.stream.messages == 0
    assert agreement.stream.last_position == 10  # the next one stored will be 11


async def test_a_server_with_little_room_gets_a_stream_without_a_limit_of_its_own(
    nats, monkeypatch, database, relay
):
    monkeypatch.setattr(stream_module, "BYTES_MAX", 2**50)

    await relay_everything(relay)

    assert (await nats.jetstream().stream_info(STREAM)).config.max_bytes == -1


async def test_a_stream_that_never_stays_healed_is_reported(database, relay, nats, monkeypatch):
    async def in_vain(*_: object, **__: object) -> None: ...

    monkeypatch.setattr(agree_module, "create", in_vain)

    with pytest.raises(NoAgreement, match="is missing, and was healed 4 times in vain"):
        await relay.run_once()
