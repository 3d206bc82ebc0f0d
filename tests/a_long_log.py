"""A log of any length in a minute or two: events told by one statement, as the write side would tell them.

Slots of a hundred resources are opened; bookings of one line are held, and most of them confirmed or
expired, soon or much later. Versions, counters and positions are those a fold must come to.
"""

import asyncpg

SEED_TIMEOUT_S = 1800

SEED = """
WITH booking AS (
    SELECT b, 1 + (hashint4(b) & 2147483647) % $2::int AS slot, 1 + b % 2 AS units,
           -- most are settled soon after they were made, some much later, some never
           CASE b % 10 WHEN 0 THEN NULL WHEN 1 THEN b + 5000 ELSE b + 20 END AS settled
    FROM generate_series(1, $1::int) AS b),
happened AS (
    SELECT slot * 1.0 - 1e9 AS at, 'SlotOpened' AS type, slot, 0 AS b, 0 AS units, 0 AS held,
           0 AS confirmed
    FROM generate_series(1, $2::int) AS slot
    UNION ALL
    SELECT b, 'HoldPlaced', slot, b, units, units, 0 FROM booking
    UNION ALL
    SELECT settled + 0.5, CASE WHEN b % 3 = 0 THEN 'HoldExpired' ELSE 'BookingConfirmed' END, slot, b,
           CASE WHEN b % 3 = 0 THEN -units ELSE 0 END, -units,
           CASE WHEN b % 3 = 0 THEN 0 ELSE units END
    FROM booking WHERE settled IS NOT NULL),
told AS (
    SELECT row_number() OVER (ORDER BY at, b) AS position, type, slot, b, units AS change,
           abs(held) AS line_units, row_number() OVER w AS version, sum(held) OVER w AS held,
           sum(confirmed) OVER w AS confirmed
    FROM happened WINDOW w AS (PARTITION BY slot ORDER BY at, b)),
named AS (
    SELECT *, ('00000000-0000-7000-8000-' || lpad(to_hex(slot), 12, '0'))::uuid AS slot_id,
           ('00000000-0000-7000-9000-' || lpad(to_hex(1 + slot % 100), 12, '0'))::uuid AS resource_id,
           CASE WHEN b > 0 THEN (lpad(to_hex(b / 1000), 12, '0') || '7000'
                                 || substr(md5(b::text), 17))::uuid END AS booking_id,
           md5('customer' || b % 100000)::uuid AS customer_id,
           timestamptz '2026-01-01' + position * interval '1 ms' AS at
    FROM told)
INSERT INTO booking.event_log ("position", event_id, type, recorded_at, actor, command_id, booking_id,
    resource_id, slot_ids, slots, data)
SELECT named.position, uuidv7(), type, at, 'seed', named.position::text, booking_id, resource_id,
    ARRAY[slot_id],
    json_build_array(json_build_object('slot_id', slot_id, 'resource_id', resource_id,
        'units', change, 'version', version, 'state', 'open', 'capacity', 1000000,
        'overbooking_units', 0, 'held', held, 'confirmed', confirmed,
        'remaining', 1000000 - held - confirmed)),
    CASE type
    WHEN 'SlotOpened' THEN json_build_object(
        'starts_at', timestamptz '2030-01-01' + slot % 100000 * interval '1 hour',
        'ends_at', timestamptz '2030-01-01' + (slot % 100000 + 1) * interval '1 hour')
    WHEN 'HoldExpired' THEN json_build_object('state', 'expired', 'version', 2, 'before', 'held')
    ELSE json_build_object('customer_id', customer_id,
        'state', CASE type WHEN 'HoldPlaced' THEN 'held' ELSE 'confirmed' END,
        'version', CASE type WHEN 'HoldPlaced' THEN 1 ELSE 2 END,
        'expires_at', CASE type WHEN 'HoldPlaced' THEN at + interval '15 min' END,
        'lines', json_build_array(json_build_object('slot_id', slot_id, 'units', line_units)),
        'before', CASE type WHEN 'HoldPlaced' THEN NULL ELSE 'held' END)
    END
FROM named ORDER BY named.position
"""
MOVE_HEAD = """
UPDATE booking.log_head SET ("position", recorded_at) =
    (SELECT "position", recorded_at FROM booking.event_log ORDER BY "position" DESC LIMIT 1)
RETURNING "position"
"""


async def seed(connection: asyncpg.Connection, *, events: int, slots: int) -> int:
    """Fill an empty log with about so many events, at least one per slot; returns the head."""
    bookings = max(0, round((events - slots) / 1.9))
    await connection.execute("SET work_mem = '256MB'")
    await connection.execute(SEED, bookings, slots, timeout=SEED_TIMEOUT_S)
    await connection.execute("VACUUM ANALYZE booking.event_log", timeout=SEED_TIMEOUT_S)
    return await connection.fetchval(MOVE_HEAD)
