"""The two tables that every command adds to: a sale is not held up by statistics nobody plans by, and what is searched is found by an index."""

import pytest

from booking.audit.read import EVENTS
from booking.guards.records import FORGET

# With rows enough that reading all of a table would cost more than an index, as after a day's sale.
ROWS = 20_000
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
ANALYZE = "ANALYZE booking.event_log, booking.command_record"


@pytest.fixture
async def after_a_sale(shop):
    await shop.database.execute(f"{MANY_EVENTS}; {MANY_RECORDS}; {ANALYZE}")
    return shop.database


async def test_only_what_is_searched_by_is_looked_through(after_a_sale):
    looked_through = await after_a_sale.fetch(
        "SELECT tablename::text, attname::text FROM pg_stats "
        "WHERE schemaname = 'booking' AND tablename IN ('event_log', 'command_record')"
    )
    assert {tuple(column) for column in looked_through} == {
        ("event_log", "position"),
        ("command_record", "caller"),
        ("command_record", "command_id"),
        ("command_record", "kept_since"),
    }


@pytest.mark.parametrize(
    ("statement", "arguments", "table"),
    [
        pytest.param(EVENTS, (5_000, 15_000, 2_000), "event_log", id="a page of the log"),
        pytest.param(FORGET, (3, 1_000), "command_record", id="the records to forget"),
    ],
)
async def test_nothing_reads_all_of_either_table(after_a_sale, statement, arguments, table):
    plan = await after_a_sale.fetch(f"EXPLAIN {statement}", *arguments)
    told = "\n".join(line for (line,) in plan)
    assert "Index" in told, told
    assert f"Seq Scan on {table}" not in told, told
