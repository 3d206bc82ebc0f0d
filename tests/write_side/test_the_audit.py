"""An audit that holds while bookings are made, and finds each kind of drift and names it."""

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
from eventually import eventually
from shop import ADA, BOB

from booking.audit.audit import Stopped, audit
from booking.audit.report import sentences
from booking.edge.database import open_pool
from booking.edge.failures import Misconfigured


class Books:
    """A write database, worked on through the deciding functions; and its owner, who may do anything."""

    def __init__(self, url: str, owner: asyncpg.Connection) -> None:
        self.url = url
        self.owner = owner

    async def resource(self, **policy: int | None) -> UUID:
        key = uuid4()
        await self._accepted(
            "booking.create_resource($1, $2, 'Hall', 'UTC', 900, NULL, $3, 0)",
            a_command("CreateResource"),
            key,
            policy.get("units_per_customer_max"),
        )
        return key

    async def slots(self, resource: UUID, number: int, *, capacity: int = 100) -> list[UUID]:
        keys = [uuid4() for _ in range(number)]
        starts = datetime(2030, 1, 1, 19, tzinfo=UTC)
        await self._accepted(
            "booking.open_slots($1, $2, $3, $4, $5, $6)",
            a_command("OpenSlots"),
            resource,
            keys,
            [starts] * number,
            [starts + timedelta(hours=3)] * number,
            [capacity] * number,
        )
        return keys

    async def limit(
        self, resource: UUID, version: int, *, units_per_customer_max: int | None
    ) -> None:
        await self._accepted(
            "booking.set_policy($1, $2, 900, NULL, $3, 0)",
            a_command("SetPolicy", if_match=[version]),
            resource,
            units_per_customer_max,
        )

    async def take(
        self, lines: dict[UUID, int], *, kind: str = "BookNow", customer: str = ADA
    ) -> UUID:
        booking = uuid4()
        await self.order(kind, booking, lines, customer_id=UUID(customer))
        return booking

    async def order(
        self,
        kind: str,
        booking: UUID | None,
        lines: dict[UUID, int] | None = None,
        **fields: object,
    ) -> None:
        await self._accepted(
            "booking.decide(ARRAY[$1]::booking.command[], $2)",
            a_command(kind, booking_id=booking, **fields),
            [(0, slot, units) for slot, units in (lines or {}).items()],
        )

    async def _accepted(self, call: str, *arguments: object) -> None:
        row = await self.owner.fetchrow(f"SELECT outcome, body FROM {call}", *arguments)
        assert row["outcome"] == "accepted", tuple(row)

    async def tamper(self, statement: str, *arguments: object) -> None:
        """As the owner, behind the log's back; the trigger that keeps the log is off meanwhile."""
        async with self.owner.transaction():
            await self.owner.execute("SET LOCAL session_replication_role = replica")
            await self.owner.execute(statement, *arguments)

    async def audited(self):
        return await audited(self.url)


FIELDS = [
    "ordinal",
    "kind",
    "caller",
    "command_id",
    "fingerprint",
    "deadline",
    "correlation_id",
    "traceparent",
    "owner",
    "booking_id",
    "customer_id",
    "hold_seconds",
    "if_match",
    "slot_id",
    "capacity",
    "overbooking_units",
]


def a_command(kind: str, **fields: object) -> tuple[object, ...]:
    command = dict.fromkeys(FIELDS) | {
        "ordinal": 0,
        "kind": kind,
        "caller": "till",
        "command_id": str(uuid4()),
        "fingerprint": None if kind == "ExpireHold" else b"-",
        "deadline": datetime.now(UTC) + timedelta(seconds=30),
    }
    return tuple((command | fields).values())


async def audited(url: str, *, stop: asyncio.Event | None = None, statement_timeout_ms: int = 2000):
    async with (
        await open_pool(
            url,
            role="booking_writer",
            name="audit",
            size_max=1,
            statement_timeout_ms=statement_timeout_ms,
        ) as pool,
        pool.acquire() as connection,
    ):
        return await audit(connection, progress=lambda *_: None, stop=stop or asyncio.Event())


@pytest.fixture
async def books(database_url, database):
    return Books(database_url, database)


@pytest.fixture
async def evening(books):
    """A slot with three bookings: a hold, a booking of two units, and one that was cancelled."""
    (slot,) = await books.slots(await books.resource(), 1)
    await books.take({slot: 1}, kind="PlaceHold")
    await books.take({slot: 2})
    await books.order("CancelBooking", await books.take({slot: 4}))
    return slot


async def test_an_empty_database_agrees_with_itself(books):
    report = await books.audited()
    assert (report.verdict, report.position) == ("valid", 0)


async def test_books_agree_after_every_kind_of_command(books):
    resource = await books.resource(units_per_customer_max=9)
    one, two, three = await books.slots(resource, 3)
    hold = await books.take({one: 2, two: 1}, kind="PlaceHold")
    await books.order("ExtendHold", hold, hold_seconds=900)
    await books.order("RescheduleBooking", hold, {one: 1, two: 1, three: 4})
    await books.order("TransferBooking", hold, customer_id=UUID(BOB))
    await books.order("ConfirmBooking", hold)
    await books.order("RescheduleBooking", hold, {two: 2})
    await books.order("CancelBooking", hold)
    await books.order("ReleaseHold", await books.take({three: 1}, kind="PlaceHold"))
    late = await books.take({one: 3}, kind="PlaceHold")
    await books.take({one: 2, three: 2})
    await books.owner.execute(
        "UPDATE booking.booking SET expires_at = clock_timestamp() WHERE booking_id = $1", late
    )
    assert [w.rule for w in (await books.audited()).witnesses] == ["rows-as-logged"]
    await books.order("ExpireHold", late)
    row = await books.owner.fetchrow("SELECT version FROM booking.slot WHERE slot_id = $1", two)
    version = row["version"]
    await books.order("ResizeSlot", None, slot_id=two, capacity=7, if_match=[version])
    await books.order("CloseSlot", None, slot_id=two, if_match=[version + 1])
    await books.order("ReopenSlot", None, slot_id=two, if_match=[version + 2])

    report = await books.audited()
    assert report.verdict == "valid", list(sentences(report))
    assert (report.resources, report.slots, report.bookings) == (1, 3, 4)
    assert report.customer_uses == 2
    assert report.position == report.events


async def test_a_limit_for_customers_that_comes_and_goes_is_followed(books):
    resource = await books.resource()
    one, two = await books.slots(resource, 2)
    await books.take({one: 2, two: 1})
    await books.take({one: 3}, kind="PlaceHold", customer=BOB)
    for version, limit, uses in ((1, 5, 3), (2, 6, 3), (3, None, 0), (4, 5, 3)):
        await books.limit(resource, version, units_per_customer_max=limit)
        report = await books.audited()
        assert (report.verdict, report.customer_uses) == ("valid", uses)


async def test_books_agree_while_bookings_are_made(books, shop, monkeypatch):
    """Pages of a few rows, so that many of them lie between one booking and the next."""
    monkeypatch.setattr("booking.audit.audit.ROWS_MAX", 7)
    slots = await shop.slots(6, capacity=2000)
    await books.limit(await a_resource(shop), 1, units_per_customer_max=2000)
    stop = asyncio.Event()

    async def customer(number: int) -> None:
        while not stop.is_set():
            booking = await shop.held({slots[number % 6]: 1, slots[(number + 1) % 6]: 2})
            await shop.order(("confirm", "release", "cancel")[number % 3], booking)

    customers = [asyncio.create_task(customer(number)) for number in range(8)]
    try:
        await eventually(lambda: enough(shop), within_s=20)
        first, second = await books.audited(), await books.audited()
    finally:
        stop.set()
        await asyncio.gather(*customers)
    for report in (first, second):
        assert report.verdict == "valid", list(sentences(report))
    assert first.position < second.position < await shop.head(), "bookings went on"


async def a_resource(shop) -> UUID:
    return await shop.database.fetchval("SELECT resource_id FROM booking.resource")


async def enough(shop) -> bool:
    return await shop.head() > 300


async def test_an_audit_keeps_no_snapshot_and_cannot_write(books, evening):
    pool = await open_pool(
        books.url, role="booking_writer", name="auditor", size_max=1, statement_timeout_ms=2000
    )
    async with pool, pool.acquire() as connection:
        held = []

        def look(*_: object) -> None:
            held.append(connection.is_in_transaction())

        await audit(connection, progress=look, stop=asyncio.Event())
        assert len(held) >= 4
        assert not any(held)
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await connection.execute("UPDATE booking.slot SET held = 0")


async def test_a_page_that_is_late_is_asked_for_again(books, evening):
    asked = set()
    async with books.owner.transaction():
        await books.owner.execute("LOCK booking.booking IN ACCESS EXCLUSIVE MODE")
        auditing = asyncio.create_task(audited(books.url, statement_timeout_ms=300))

        async def twice() -> bool:
            await books.owner.execute("SELECT pg_stat_clear_snapshot()")
            rows = await books.owner.fetch(
                "SELECT query_start FROM pg_stat_activity "
                "WHERE application_name = 'audit' AND wait_event_type = 'Lock'"
            )
            asked.update(row["query_start"] for row in rows)
            return len(asked) > 1

        await eventually(twice)
    assert (await auditing).verdict == "valid"


async def test_an_audit_of_a_locked_table_gives_up_with_a_sentence(books, evening, monkeypatch):
    monkeypatch.setattr("booking.audit.audit.ROWS_MAX", 100)
    async with books.owner.transaction():
        await books.owner.execute("LOCK booking.booking IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(Misconfigured, match="run the audit later"):
            await audited(books.url, statement_timeout_ms=100)


async def test_a_stopped_audit_concludes_nothing(books, evening):
    stop = asyncio.Event()
    stop.set()
    with pytest.raises(Stopped):
        await audited(books.url, stop=stop)


async def test_a_counter_changed_behind_the_log_is_told_three_ways(books, evening):
    await books.tamper("UPDATE booking.slot SET held = 3 WHERE slot_id = $1", evening)
    report = await books.audited()
    (witness,) = report.witnesses
    assert report.verdict == "invalid"
    assert (witness.rule, witness.entity, witness.id) == ("counters-add-up", "slot", evening)
    assert witness.says == {
        "counters": {"held": 3, "confirmed": 2},
        "bookings": {"held": 1, "confirmed": 2},
        "log": {"held": 1, "confirmed": 2},
    }
    assert f"slot {evening} at position {report.position}: the counters say held 3" in "\n".join(
        sentences(report)
    )


async def test_a_deleted_line_is_missed_by_its_booking_and_its_slot(books, evening):
    booking = await books.owner.fetchval(
        "DELETE FROM booking.booking_line WHERE units = 2 RETURNING booking_id"
    )
    by_booking, by_slot = (await books.audited()).witnesses
    assert (by_booking.rule, by_booking.id) == ("rows-as-logged", booking)
    assert by_booking.says == {"row": {"lines": {}}, "log": {"lines": {str(evening): 2}}}
    assert (by_slot.rule, by_slot.id) == ("counters-add-up", evening)
    assert by_slot.says["counters"] == by_slot.says["log"] == {"held": 1, "confirmed": 2}
    assert by_slot.says["bookings"] == {"held": 1, "confirmed": 0}


@pytest.mark.parametrize("table", ["slot", "booking", "resource"])
async def test_a_deleted_row_is_missed(books, evening, table):
    key = await books.owner.fetchval(f"SELECT min({table}_id::text)::uuid FROM booking.{table}")
    await books.tamper(f"DELETE FROM booking.{table} WHERE {table}_id = $1", key)
    report = await books.audited()
    assert ("rows-as-logged", table, key) in {(w.rule, w.entity, w.id) for w in report.witnesses}


async def test_a_row_without_any_event_is_found(books, evening):
    await books.tamper(
        "INSERT INTO booking.booking VALUES ($1, $1, 'confirmed', 1, NULL, 1)", UUID(int=2**128 - 1)
    )
    (witness,) = (await books.audited()).witnesses
    assert witness.id == UUID(int=2**128 - 1)
    assert witness.says == {"row": {"there": True}, "log": {"there": False}}


@pytest.mark.parametrize("table", ["slot", "booking", "resource"])
async def test_a_row_ahead_of_its_newest_event_is_found(books, evening, table):
    key = await books.owner.fetchval(
        f"UPDATE booking.{table} SET version = version + 1 WHERE {table}_id = "
        f"(SELECT {table}_id FROM booking.{table} LIMIT 1) RETURNING {table}_id"
    )
    (witness,) = (await books.audited()).witnesses
    assert (witness.rule, witness.entity, witness.id) == ("rows-as-logged", table, key)
    assert witness.says["row"]["version"] == witness.says["log"]["version"] + 1


async def test_a_version_skipped_is_found_at_the_event_that_skips_it(books, evening):
    await books.tamper("UPDATE booking.slot SET version = version + 1")
    await books.take({evening: 1})
    await books.take({evening: 1})
    (witness,) = (await books.audited()).witnesses
    assert (witness.rule, witness.id) == ("versions-dense", evening)
    assert witness.position == await books.owner.fetchval(
        "SELECT max(position) - 1 FROM booking.event_log"
    )
    assert witness.says == {"event": {"version": 7}, "expected": {"version": 6}}


async def test_an_event_whose_state_was_altered_is_found(books, evening):
    position = await first(books, "HoldPlaced")
    await books.tamper(
        "UPDATE booking.event_log SET data = replace(data::text, '\"held\"', '\"confirmed\"')::json "
        "WHERE position = $1",
        position,
    )
    (witness,) = (await books.audited()).witnesses
    assert (witness.rule, witness.entity, witness.position) == (
        "events-follow",
        "booking",
        position,
    )
    assert witness.says["event"]["state"] == "confirmed"
    assert witness.says["expected"]["state"] == "held"


async def test_an_event_whose_counters_were_altered_is_found(books, evening):
    position = await first(books, "BookingConfirmed")
    await books.tamper(
        "UPDATE booking.event_log SET slots = replace(slots::text, '\"confirmed\":2', '\"confirmed\":9')"
        "::json WHERE position = $1",
        position,
    )
    smallest, *_ = (await books.audited()).witnesses
    assert (smallest.rule, smallest.id, smallest.position) == ("events-follow", evening, position)
    assert smallest.says == {"event": {"confirmed": 9}, "expected": {"confirmed": 2}}


async def test_an_event_that_cannot_be_read_is_found(books, evening):
    position = await first(books, "HoldPlaced")
    await books.tamper("UPDATE booking.event_log SET data = '{}' WHERE position = $1", position)
    report = await books.audited()
    assert (report.witnesses[0].entity, report.witnesses[0].position) == ("event", position)


async def test_a_hole_in_the_positions_is_found(books, evening):
    position = await first(books, "BookingConfirmed")
    await books.tamper("DELETE FROM booking.event_log WHERE position = $1", position)
    report = await books.audited()
    smallest = report.witnesses[0]
    assert (smallest.rule, smallest.position) == ("positions-dense", position)
    assert smallest.says == {"log": {"first_hole": position, "last_hole": position}}
    assert {"versions-dense", "rows-as-logged"} <= report.violations.keys()


async def test_a_log_that_ends_before_its_head_is_found(books, evening):
    head = await books.owner.fetchval(
        "UPDATE booking.log_head SET position = position + 3 RETURNING position"
    )
    (witness,) = (await books.audited()).witnesses
    assert witness.says == {"log": {"first_hole": head - 2, "last_hole": head}}


async def test_a_log_that_ends_after_its_head_is_found(books):
    await books.resource()
    await books.resource()
    await books.tamper("UPDATE booking.log_head SET position = 1")
    smallest, *_ = (await books.audited()).witnesses
    assert smallest.says == {"counters": {"head": 1}, "log": {"newest": 2}}


async def test_a_customers_use_that_drifted_is_found(books):
    resource = await books.resource(units_per_customer_max=5)
    (slot,) = await books.slots(resource, 1)
    await books.take({slot: 3})
    await books.tamper("UPDATE booking.customer_use SET units = 2")
    (witness,) = (await books.audited()).witnesses
    assert (witness.rule, witness.id, str(witness.customer_id)) == ("customer-use", slot, ADA)
    assert witness.says == {"counters": {"units": 2}, "bookings": {"units": 3}}
    await books.tamper("DELETE FROM booking.customer_use")
    (witness,) = (await books.audited()).witnesses
    assert witness.says["counters"] == {"units": 0}


async def test_an_oversold_slot_is_found_in_an_experiments_database(unguarded_shop, database_url):
    slot = await unguarded_shop.slot(1)
    await asyncio.gather(*(unguarded_shop.take(slot) for _ in range(20)))
    oversold = await unguarded_shop.oversold(slot)
    report = await audited(database_url)
    assert (oversold > 0) == ("never-oversold" in report.violations)


@pytest.mark.parametrize("moved", ["- interval '1 s'", "+ interval '1 day'"])
async def test_a_moment_that_goes_back_is_found_at_the_event_that_goes_back(books, evening, moved):
    position = await first(books, "HoldPlaced")
    await books.tamper(
        f"UPDATE booking.event_log SET recorded_at = recorded_at {moved} WHERE position = $1",
        position,
    )
    (witness,) = (await books.audited()).witnesses
    assert witness.rule == "recorded-in-order"
    assert witness.position == (position if moved.startswith("-") else position + 1)
    assert witness.says.keys() == {"event", "expected"}


async def test_a_head_recorded_before_its_last_event_is_found(books, evening):
    moment = await books.owner.fetchval(
        "UPDATE booking.log_head SET recorded_at = recorded_at - interval '1 s' RETURNING recorded_at"
    )
    (witness,) = (await books.audited()).witnesses
    assert witness.rule == "recorded-in-order"
    assert witness.says["counters"] == {"recorded_at": moment.isoformat()}


@pytest.mark.parametrize(
    ("column", "value", "kind"),
    [
        ("slot_ids", "'{}'", "HoldPlaced"),
        ("slot_ids", "ARRAY[event_id]", "SlotOpened"),
        ("resource_id", "NULL", "BookingCancelled"),
        ("resource_id", "event_id", "ResourceCreated"),
        ("resource_id", "event_id", "HoldExtended"),
        ("booking_id", "event_id", "SlotOpened"),
    ],
)
async def test_a_column_that_contradicts_its_payload_is_found(books, evening, column, value, kind):
    hold = await books.take({evening: 1}, kind="PlaceHold")
    await books.order("ExtendHold", hold, hold_seconds=900)
    position = await first(books, kind)
    await books.tamper(
        f"UPDATE booking.event_log SET {column} = {value} WHERE position = $1", position
    )
    (witness,) = (await books.audited()).witnesses
    assert (witness.rule, witness.position) == ("columns-as-payload", position)
    assert witness.says["row"].keys() == witness.says["event"].keys() == {column}
    assert witness.says["row"] != witness.says["event"]


async def test_books_of_events_about_slots_of_several_resources_agree(books):
    (one,), (two,) = [await books.slots(await books.resource(), 1) for _ in range(2)]
    hold = await books.take({one: 1, two: 1}, kind="PlaceHold")
    await books.order("ExtendHold", hold, hold_seconds=900)
    await books.order("RescheduleBooking", hold, {one: 1})
    await books.order("TransferBooking", hold, customer_id=UUID(BOB))
    report = await books.audited()
    assert report.verdict == "valid", list(sentences(report))


@pytest.mark.parametrize(
    ("column", "value"), [("type", "'SlotMoved'"), ("type", "'SlotClosed'"), ("schema", "2")]
)
async def test_a_type_or_schema_that_is_not_the_payloads_is_found(books, evening, column, value):
    position = await first(books, "HoldPlaced")
    await books.tamper(
        f"UPDATE booking.event_log SET {column} = {value} WHERE position = $1", position
    )
    report = await books.audited()
    assert ("events-follow", position) in {(w.rule, w.position) for w in report.witnesses}


@pytest.mark.parametrize(("taker", "giver"), [(5, 2), (2, 5), (3, 2)])
async def test_an_id_of_two_events_is_found(books, evening, taker, giver, monkeypatch):
    """Whichever of the two had it first. Pages of two events, so that they are read apart."""
    monkeypatch.setattr("booking.audit.audit.EVENTS_MAX", 2)
    event_id = await books.owner.fetchval(
        "SELECT event_id FROM booking.event_log WHERE position = $1", giver
    )
    await books.tamper(
        "UPDATE booking.event_log SET event_id = $1 WHERE position = $2", event_id, taker
    )
    (witness,) = (await books.audited()).witnesses
    assert (witness.rule, witness.id) == ("event-ids-differ", event_id)
    assert witness.says == {"log": {"positions": sorted([taker, giver])}}


async def test_ids_that_do_not_ascend_are_no_drift(books, evening):
    await books.tamper(
        "UPDATE booking.event_log SET event_id = uuidv7(interval '-1 day') WHERE position > 3"
    )
    assert (await books.audited()).verdict == "valid"


async def test_a_line_without_a_booking_is_found(books, evening):
    booking = uuid4()
    await books.owner.execute(
        "INSERT INTO booking.booking_line VALUES ($1, $2, 5)", booking, evening
    )
    report = await books.audited()
    (witness,) = report.witnesses
    assert (witness.rule, witness.entity, witness.id) == ("lines-of-bookings", "booking", booking)
    assert witness.says == {"lines": {"lines": {str(evening): 5}}, "row": {"there": False}}
    assert f"the lines say lines {evening}×5; its row says it is not there" in "\n".join(
        sentences(report)
    )


async def test_every_block_of_lines_is_read(books, evening, monkeypatch):
    monkeypatch.setattr("booking.audit.audit.ROWS_MAX", 50)
    await books.owner.execute(
        "INSERT INTO booking.booking_line SELECT uuidv7(), $1, 1 FROM generate_series(1, 1000)",
        evening,
    )
    assert (await books.audited()).violations == {"lines-of-bookings": 1000}


async def test_an_answer_beyond_the_head_is_found_unless_it_is_of_another_epoch(books, evening):
    command_id = await books.owner.fetchval(
        "UPDATE booking.command_record SET position = 99 WHERE position = 6 RETURNING command_id"
    )
    (witness,) = (await books.audited()).witnesses
    assert (witness.rule, witness.position) == ("answers-within-log", 6)
    assert witness.says == {
        "row": {"caller": "till", "command_id": command_id, "position": 99},
        "counters": {"head": 6},
    }
    await books.owner.execute("UPDATE booking.command_record SET epoch = uuidv7()")
    assert (await books.audited()).verdict == "valid"


async def first(books: Books, kind: str) -> int:
    return await books.owner.fetchval(
        "SELECT min(position) FROM booking.event_log WHERE type = $1", kind
    )


async def booking_audit(url: str, *options: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "booking.cli", "audit", *options),
        env={"BOOKING_DATABASE_URL": url, "PATH": "/usr/bin:/bin"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_the_command_answers_in_words_with_its_progress_aside(books, evening):
    code, out, err = await booking_audit(books.url)
    assert code == 0, err
    assert out.startswith("The books agree up to position 6.\n")
    assert "events: 6 of 6\n" in err


async def test_the_command_answers_scripts_and_its_exit_code_is_the_verdict(books, evening):
    await books.tamper("UPDATE booking.slot SET confirmed = 9")
    code, out, _ = await booking_audit(books.url, "--json")
    assert code == 1
    report = json.loads(out)
    assert report["verdict"] == "invalid"
    assert report["witnesses"][0]["id"] == str(evening)


async def test_a_database_that_is_not_there_or_not_migrated_is_a_mistake(empty_database_url):
    for url in (empty_database_url, "postgresql://127.0.0.1:1/none"):
        code, out, err = await booking_audit(url)
        assert (code, out) == (2, "")
        assert "booking migrate" in err or "cannot be reached" in err
