"""The tables that every booking adds to: a sale is not held up by statistics nobody plans by, and what is searched is found by an index."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from booking.audit.read import EVENTS
from booking.guards.expiry import PAST_THEIR_TIME
from booking.guards.records import FORGET

# With rows enough that reading all of a table would cost more than an index, as after a day's sale.
ROWS = 20_000
LONG_AGO, NOBODY = datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0)
MANY_EVENTS = f"""
    INSERT INTO booking.event_log ("position", type, recorded_at, actor, command_id, slot_ids, slots, data)
    SELECT n, 'HoldPlaced', now(), 'key:test', 'command-' || n, '{{}}', '[]', '{{}}'
    FROM generate_series(1, {ROWS}) AS n
"""
MANY_RECORDS = f"""
    INSERT INTO booking.command_record (caller, command_id, fingerprint, command, status, epoch,
        "position", recorded_at, answer, kept_since)
    SELECT 'key:test', 'command-' || n, ''::bytea, 'PlaceHold', 201, gen_random_uuid(), n, now(), '{{}}',
           now() - make_interval(secs => n)
    FROM generate_series(1, {ROWS}) AS n
"""
MANY_BOOKINGS = f"""
    INSERT INTO booking.booking (booking_id, customer_id, state, version, expires_at, "position")
    SELECT uuidv7(), uuidv7(), 'held', 1, now() - make_interval(secs => n), n
    FROM generate_series(1, {ROWS}) AS n;
    INSERT INTO booking.booking_line (booking_id, slot_id, units)
    SELECT booking_id, uuidv7(), 1 FROM booking.booking
"""
ANALYZE = "ANALYZE booking.event_log, booking.command_record, booking.booking, booking.booking_line"


@pytest.fixture
async def after_a_sale(shop):
    await shop.database.execute(f"{MANY_EVENTS}; {MANY_RECORDS}; {MANY_BOOKINGS}; {ANALYZE}")
    return shop.database


async def test_only_what_is_searched_by_is_looked_through(after_a_sale):
    looked_through = await after_a_sale.fetch(
        "SELECT tablename::text, attname::text FROM pg_stats "
        "WHERE schemaname = 'booking' AND tablename IN "
        "('event_log', 'command_record', 'booking', 'booking_line')"
    )
    assert {tuple(column) for column in looked_through} == {
        ("event_log", "position"),
        ("command_record", "caller"),
        ("command_record", "command_id"),
        ("command_record", "kept_since"),
        ("booking", "booking_id"),
        ("booking", "customer_id"),
        ("booking", "state"),
        ("booking", "expires_at"),
        ("booking_line", "booking_id"),
        ("booking_line", "slot_id"),
    }


@pytest.mark.parametrize(
    ("statement", "arguments", "table"),
    [
        pytest.param(EVENTS, (5_000, 15_000, 2_000), "event_log", id="a page of the log"),
        pytest.param(FORGET, (3, 1_000), "command_record", id="the records to forget"),
        pytest.param(
            PAST_THEIR_TIME, (192, 5.0, LONG_AGO, NOBODY), "booking", id="past their time"
        ),
    ],
)
async def test_nothing_reads_all_of_a_table(after_a_sale, statement, arguments, table):
    plan = await after_a_sale.fetch(f"EXPLAIN {statement}", *arguments)
    told = "\n".join(line for (line,) in plan)
    assert "Index" in told, told
    assert f"Seq Scan on {table}" not in told, told
