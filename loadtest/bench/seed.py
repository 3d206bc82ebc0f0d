"""A long log and many slots, made for real: the product's own deciding functions, called from psql in full batches, without HTTP.

So every row is what the system would have written, because the system writes it; `booking audit` says whether the books agree. Flushes are not
waited for while seeding (`synchronous_commit` of those two sessions), which nobody measures.
"""

import asyncio

from loadtest.bench.arm import Say
from loadtest.bench.product import Product, command
from loadtest.instruments.postgres_programs import query

BATCH = 256
SLOTS_PER_CALL = 1000
SESSIONS = 2
"""Batches of two meet at the end of the log only."""
CHUNK = 200_000
PATIENCE_S = 3600.0

# Named members, so that a command may get new ones; `ordinal` ties it to its lines.
COMMAND = """
jsonb_populate_record(NULL::booking.command, jsonb_build_object(
    'ordinal', {ordinal}, 'kind', '{kind}', 'caller', 'bench', 'command_id', gen_random_uuid(),
    'fingerprint', '\\x00', 'deadline', clock_timestamp() + interval '5 s',
    'booking_id', uuidv7(), 'customer_id', gen_random_uuid()))
"""
OPEN_SLOTS = f"""
DO $$
DECLARE
    resource uuid := gen_random_uuid();
    opened   integer := 0;
    made     text;
BEGIN
    SELECT outcome INTO STRICT made FROM booking.create_resource(
        {COMMAND.format(ordinal=0, kind="CreateResource")},
        resource, 'Hall', 'Europe/Amsterdam', 900, NULL, NULL, 0);
    WHILE opened < {{slots}} LOOP
        SET LOCAL synchronous_commit = off;
        SELECT outcome INTO STRICT made FROM booking.open_slots(
            {COMMAND.format(ordinal=0, kind="OpenSlots")}, resource,
            ARRAY(SELECT gen_random_uuid() FROM generate_series(1, {SLOTS_PER_CALL})),
            ARRAY(SELECT '2100-01-01T00:00Z'::timestamptz + (opened + n) * interval '1 min'
                  FROM generate_series(1, {SLOTS_PER_CALL}) AS n),
            ARRAY(SELECT '2100-01-01T00:01Z'::timestamptz + (opened + n) * interval '1 min'
                  FROM generate_series(1, {SLOTS_PER_CALL}) AS n),
            array_fill(1000000, ARRAY[{SLOTS_PER_CALL}]));
        IF made <> 'accepted' THEN
            RAISE EXCEPTION 'Slots were not opened: %', made;
        END IF;
        COMMIT;
        opened := opened + {SLOTS_PER_CALL};
    END LOOP;
END $$;
"""
BOOK = f"""
DO $$
DECLARE
    slots    uuid[] := ARRAY(SELECT slot_id FROM booking.slot);
    of_slots integer := cardinality(slots);
    booked   integer := 0;
    accepted integer;
BEGIN
    WHILE booked < {{bookings}} LOOP
        SET LOCAL synchronous_commit = off;
        SELECT count(*) FILTER (WHERE answer.outcome = 'accepted') INTO accepted
        FROM (SELECT array_agg({COMMAND.format(ordinal="n", kind="BookNow")} ORDER BY n) AS commands,
                     array_agg(ROW(n, slots[1 + floor(random() * of_slots)::integer], 1)
                               ::booking.requested_line) AS lines
              FROM generate_series(0, {BATCH - 1}) AS n) AS batch
        CROSS JOIN LATERAL booking.decide(batch.commands, batch.lines) AS answer;
        IF accepted <> {BATCH} THEN
            RAISE EXCEPTION '% of {BATCH} bookings were accepted', accepted;
        END IF;
        COMMIT;
        booked := booked + {BATCH};
    END LOOP;
END $$;
"""
STANDS = 'SELECT "position" FROM booking.log_head'
BOOKED = "SELECT count(*) FROM booking.booking"
SOME_SLOTS = """
SELECT string_agg(slot_id::text, ',') FROM (SELECT slot_id FROM booking.slot ORDER BY slot_id) AS s
"""


async def seed(product: Product, *, slots: int, events: int, say: Say) -> int:
    """Opens `slots` and books them at random until the log has about `events`; returns how many bookings there are.

    Raises:
        CannotRunError: psql was refused.
    """
    say(f"seeding {slots:,} slots")
    await _ask(product, OPEN_SLOTS.format(slots=slots))
    stands = int((await _ask(product, STANDS))[0])
    while (missing := events - stands) > 0:
        each = min(missing, CHUNK) // SESSIONS or 1
        await asyncio.gather(*(_ask(product, BOOK.format(bookings=each)) for _ in range(SESSIONS)))
        stands = int((await _ask(product, STANDS))[0])
        say(f"seeding: {stands:,} of {events:,} events")
    # As after any hour of work: statistics are there, and no page waits to be written for the first time.
    await _ask(product, "VACUUM ANALYZE")
    await _ask(product, "CHECKPOINT")
    return int((await _ask(product, BOOKED))[0])


async def slot_ids(product: Product) -> list[str]:
    """The ids of all slots."""
    return (await _ask(product, SOME_SLOTS))[0].split(",")


async def audit(product: Product) -> None:
    """Lets the product prove that counters, live bookings and log agree.

    Raises:
        CannotRunError: they do not.
    """
    await command("audit", data_dir=product.data_dir, patience_s=PATIENCE_S)


async def _ask(product: Product, statement: str) -> list[str]:
    return await query(product.programs, product.database_url, statement, patience_s=PATIENCE_S)
