"""*Stream sequence = log position*, whoever relays and however often."""

import asyncio

import msgspec
import pytest
from log_and_stream import (
    assert_the_stream_is_the_log,
    epoch_of,
    events_in_stream,
    log_row,
    relay_everything,
    relay_on,
    try_to_relay_everything,
    write_events,
)

from booking.events.envelope import LOG_COLUMNS, LogRow, payload
from booking.events.subjects import STREAM
from booking.relay import publish as publish_module
from booking.relay.publish import Outrun, publish


async def test_an_empty_log_has_an_empty_stream(database, relay, nats):
    (done,) = await relay_everything(relay)

    assert (done.position, done.published, done.heartbeat) == (0, 0, True)
    assert await events_in_stream(nats) == {}


@pytest.mark.parametrize("count", [1, 4, 5, 500, 501])
async def test_stream_sequence_equals_log_position(database, relay, nats, count):
    await relay_everything(relay)

    await write_events(database, count)
    rounds = await relay_everything(relay)

    assert sum(done.published for done in rounds) == count
    await assert_the_stream_is_the_log(database, nats)


async def test_events_travel_singly_and_in_chains_without_a_seam(database, relay, nats):
    for count in (2, 7, 1, 30, 4, 5):
        await write_events(database, count)
        await relay_everything(relay)

    await assert_the_stream_is_the_log(database, nats)


@pytest.mark.parametrize("count", [3, 6])
async def test_a_message_is_the_payload_of_its_row_and_names_its_event(
    database, relay, nats, count
):
    await write_events(database, count)
    await relay_everything(relay)

    epoch = await epoch_of(database)
    for record in await database.fetch(f"SELECT {LOG_COLUMNS} FROM booking.event_log"):
        row = LogRow(**record)
        message = await nats.jetstream().get_msg(STREAM, row.position)
        assert message.data == payload(row, epoch)
        assert (
            message.subject == f"booking.events.{epoch}.{row.resource_id or 'several'}.HoldPlaced"
        )
        assert message.headers["Nats-Msg-Id"] == str(row.event_id)
        assert message.headers["traceparent"] == row.traceparent


async def test_no_word_of_an_event_ends_its_message_early_or_is_taken_for_a_command(
    database, relay, nats
):
    await relay_everything(relay)
    await write_events(database, 4)
    epoch = await epoch_of(database)
    rows = [
        msgspec.structs.replace(
            await log_row(database, position),
            actor="Zoë\r\nPUB booking.wake 0\r\n",
            traceparent="00-1\r\nPUB booking.wake 0\r\n\r\n",
        )
        for position in range(1, 5)
    ]

    assert await publish(nats, epoch, rows) == 4

    for row in rows:
        message = await nats.jetstream().get_msg(STREAM, row.position)
        assert message.data == payload(row, epoch)
        assert message.headers["traceparent"].split() == row.traceparent.split()


async def test_the_stream_itself_refuses_to_forget_or_to_be_emptied(relay, nats):
    await relay_everything(relay)

    config = (await nats.jetstream().stream_info(STREAM)).config

    assert (config.deny_delete, config.deny_purge) == (True, True)
    assert config.allow_direct
    assert (config.max_age, config.max_bytes) == (7 * 24 * 3600, 8 * 2**30)


async def test_a_second_relay_changes_nothing(database, database_url, fresh_nats, relay, nats):
    await write_events(database, 20)
    await relay_everything(relay)

    async with relay_on(database_url, fresh_nats.url) as second:
        rounds = await relay_everything(second)

    assert [(done.published, done.healed) for done in rounds] == [(0, ())]
    await assert_the_stream_is_the_log(database, nats)


async def test_a_relay_that_slept_is_refused_and_learns(
    database, database_url, fresh_nats, relay, nats
):
    await relay_everything(relay)  # knows that the stream is empty, and falls asleep
    await write_events(database, 9)
    async with relay_on(database_url, fresh_nats.url) as second:
        await relay_everything(second)

    with pytest.raises(Outrun):
        await relay.run_once()
    rounds = await relay_everything(relay)

    assert [(done.published, done.healed) for done in rounds] == [(0, ())]
    await assert_the_stream_is_the_log(database, nats)


async def test_relays_working_against_each_other_still_make_one_copy(
    database, database_url, fresh_nats, relay, nats
):
    async with relay_on(database_url, fresh_nats.url) as second:
        for count in (3, 40, 1, 700, 2):
            await write_events(database, count)
            await asyncio.gather(*map(try_to_relay_everything, (relay, second)))

    await assert_the_stream_is_the_log(database, nats)


async def test_what_was_stored_of_a_chain_is_completed_by_sending_it_whole_again(
    database, relay, nats
):
    await relay_everything(relay)
    await write_events(database, 6)
    chain = [await log_row(database, position) for position in range(1, 7)]
    epoch = await epoch_of(database)
    await publish(nats, epoch, chain[:4])  # and then, say, the connection broke

    assert await publish(nats, epoch, chain) == 6

    await assert_the_stream_is_the_log(database, nats)


@pytest.fixture
async def chain_without_its_place(database, relay, nats):
    """Six events of a log, and a stream in which a foreign message has the place of the first."""
    await relay_everything(relay)
    await write_events(database, 6)
    epoch = await epoch_of(database)
    await nats.jetstream().publish(f"booking.events.{epoch}.several.HoldPlaced", b"not ours")
    return [await log_row(database, position) for position in range(1, 7)]


async def test_nothing_of_a_chain_is_stored_behind_a_foreign_message(
    database, nats, chain_without_its_place
):
    with pytest.raises(Outrun):
        await publish(nats, await epoch_of(database), chain_without_its_place)

    assert (await nats.jetstream().stream_info(STREAM)).state.last_seq == 1


async def test_by_sequences_alone_the_rest_would_be_stored_behind_it(
    database, nats, chain_without_its_place, monkeypatch
):
    """The guard off: each event names only the sequence before it, not the event."""
    headers = publish_module._headers
    monkeypatch.setattr(publish_module, "_headers", lambda event, _: headers(event, None))

    assert await publish(nats, await epoch_of(database), chain_without_its_place) == 6

    tail = await nats.jetstream().get_msg(STREAM, 6)
    assert tail.headers["Nats-Msg-Id"] == str(chain_without_its_place[-1].event_id)  # looks well
    assert (await nats.jetstream().get_msg(STREAM, 1)).data == b"not ours"  # and is not
