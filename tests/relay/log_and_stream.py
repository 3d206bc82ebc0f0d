"""A log to relay and a look at the stream: what the relay's tests need to tell their stories."""

from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
from nats.aio.client import Client
from nats.errors import Error

from booking.events.envelope import LOG_COLUMNS, Event, LogRow, decode
from booking.events.subjects import STREAM
from booking.relay.connect_nats import connected_to_nats
from booking.relay.publish import Outrun
from booking.relay.relay import Relay, Round

WRITE_EVENTS = """
WITH head AS (
    UPDATE booking.log_head
    SET "position" = "position" + $1, recorded_at = greatest(recorded_at, clock_timestamp())
    RETURNING "position" - $1 AS before, recorded_at
)
INSERT INTO booking.event_log ("position", type, recorded_at, actor, command_id, traceparent,
                               booking_id, resource_id, slot_ids, slots, data)
SELECT before + n, 'HoldPlaced', recorded_at, 'tester', 'command-' || before + n,
       '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', uuidv7(),
       CASE WHEN n % 3 > 0 THEN uuidv7() END, '{}', '[]', '{"lines": []}'
FROM head, generate_series(1, $1) AS n
"""


LOG_ROW = f'SELECT {LOG_COLUMNS} FROM booking.event_log WHERE "position" = $1'


async def write_events(database: asyncpg.Connection, count: int) -> None:
    """Append `count` events in one transaction, as a deciding call would."""
    await database.execute(WRITE_EVENTS, count)


async def rewind(database: asyncpg.Connection, position: int) -> None:
    """Put the log back to `position`, as restoring an older backup would."""
    async with database.transaction():
        await database.execute("SET LOCAL session_replication_role = replica")
        await database.execute('DELETE FROM booking.event_log WHERE "position" > $1', position)
        await database.execute('UPDATE booking.log_head SET "position" = $1', position)


async def epoch_of(database: asyncpg.Connection) -> UUID:
    return await database.fetchval("SELECT epoch FROM booking.log_head")


async def log_row(database: asyncpg.Connection, position: int) -> LogRow:
    return LogRow(**await database.fetchrow(LOG_ROW, position))


@asynccontextmanager
async def relay_on(database_url: str, nats_url: str):
    """A relay with the rights and the connection it has in production."""
    async with (
        asyncpg.create_pool(
            database_url, min_size=1, max_size=2, server_settings={"role": "booking_relay"}
        ) as log,
        connected_to_nats(nats_url, name="relay") as nats,
    ):
        yield Relay(log, nats)


async def relay_everything(relay: Relay) -> list[Round]:
    """Run rounds until the stream has all the log has; return what they did."""
    rounds = [await relay.run_once()]
    while rounds[-1].position != rounds[-1].head or rounds[-1].published:
        rounds.append(await relay.run_once())
        assert len(rounds) < 100, "the relay makes no progress"
    return rounds


async def try_to_relay_everything(relay: Relay) -> list[Round]:
    """The same for a relay whose knowledge is out of date: the first attempts may be refused."""
    for _ in range(5):
        try:
            return await relay_everything(relay)
        except (Outrun, Error):
            continue
    raise AssertionError("the relay did not recover from being refused")


async def events_in_stream(nats: Client) -> dict[int, Event]:
    """All the stream holds, by sequence; every message is checked to name its event."""
    jetstream = nats.jetstream()
    state = (await jetstream.stream_info(STREAM)).state
    events = {}
    for sequence in range(state.first_seq, state.last_seq + 1):
        message = await jetstream.get_msg(STREAM, sequence, direct=True)
        event = decode(message.data)
        assert message.headers["Nats-Msg-Id"] == str(event.event_id)
        events[sequence] = event
    return events


async def assert_the_stream_is_the_log(
    database: asyncpg.Connection, nats: Client, *, first: int = 1
) -> None:
    """Sequence by sequence: the same events, under the epoch now in force, and none besides."""
    events = await events_in_stream(nats)
    epoch = await epoch_of(database)
    log = await database.fetch(
        'SELECT "position", event_id FROM booking.event_log WHERE "position" >= $1', first
    )
    assert {sequence: event.event_id for sequence, event in events.items()} == {
        row["position"]: row["event_id"] for row in log
    }
    for sequence, event in events.items():
        assert (event.position, event.epoch) == (sequence, epoch)
