"""A rebuild: the same rows anew, while everybody goes on reading and booking."""

import asyncio
from contextlib import asynccontextmanager
from itertools import pairwise

import asyncpg
import pytest
from at_work import projecting
from eventually import eventually

from booking.edge.database import CONNECTION_LOST
from projector.guards.checkpoint_compare_and_set import read_checkpoint
from projector.projections import TABLES
from projector.rebuild.control import differences
from projector.rebuild.in_place import rebuild_in_place
from projector.rebuild.rebuild import rebuild
from projector.rebuild.replay import Replay
from projector.rebuild.shadow import ShadowInUse, shadow_of_mine

SHADOW = "SELECT relname FROM pg_class WHERE relnamespace = 'read_model_shadow'::regnamespace"
MADE_OF = """
SELECT relname, kind, said FROM (
    SELECT relname, 'options' AS kind, coalesce(reloptions::text, '') AS said FROM pg_class
    WHERE relnamespace = 'read_model'::regnamespace AND relkind = 'r'
    UNION ALL
    SELECT relname, 'right', grantee::regrole::text || ' ' || privilege_type
    FROM pg_class, aclexplode(relacl)
    WHERE relnamespace = 'read_model'::regnamespace AND relkind = 'r'
    UNION ALL
    SELECT relname, 'owner', relowner::regrole::text FROM pg_class
    WHERE relnamespace = 'read_model'::regnamespace AND relkind = 'r'
    UNION ALL
    SELECT tablename, 'index', indexdef FROM pg_indexes WHERE schemaname = 'read_model'
    UNION ALL
    SELECT relname, 'constraint', conname || ' ' || pg_get_constraintdef(c.oid)
    FROM pg_constraint AS c JOIN pg_class ON pg_class.oid = conrelid
    WHERE relnamespace = 'read_model'::regnamespace
    UNION ALL
    SELECT relname, 'column', attname || format_type(atttypid, atttypmod) || attgenerated::text
        || coalesce(' statistics ' || attstattarget, '')
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    WHERE relnamespace = 'read_model'::regnamespace AND relkind = 'r' AND attnum > 0
) AS made ORDER BY 1, 2, 3
"""


async def rows(owner) -> dict[str, list[tuple]]:
    """Everything that is folded from the log."""
    return {
        table: [tuple(row) for row in await owner.fetch(f"SELECT * FROM read_model.{table} AS t ORDER BY t::text")]
        for table in TABLES
    }  # fmt: skip


async def at_position(owner, position: int) -> None:
    async def there() -> bool:
        return await owner.fetchval("SELECT position FROM read_model.checkpoint") == position

    await eventually(there, within_s=8, because=f"the checkpoint stands at {position}")


async def a_day(log, *, slots: int = 3, bookings: int = 12) -> tuple:
    """A resource with slots, and bookings of them; every third confirmed, every fourth cancelled."""
    resource_id = await log.resource()
    opened = [await log.slot(resource_id, capacity=1000) for _ in range(slots)]
    for number in range(bookings):
        booking_id = await log.hold(opened[number % slots], opened[(number + 1) % slots])
        if number % 3 == 0:
            await log.confirm(booking_id)
        if number % 4 == 0:
            await log.cancel(booking_id)
    return resource_id, opened


@pytest.fixture
async def operator(writer: asyncpg.Pool):
    """A connection of a command's own."""
    async with writer.acquire() as connection:
        yield connection


async def test_the_same_rows_are_shown_under_a_new_generation_and_nothing_is_left(
    log, stream, projector, owner, operator
):
    await a_day(log)
    await stream.copy()
    await at_position(owner, log.position)
    before, was = await rows(owner), await read_checkpoint(owner)

    done = await rebuild(operator, owner)

    now = await read_checkpoint(owner)
    assert await rows(owner) == before
    assert (done.position, done.left_out, done.added_up) == (log.position, 0, True)
    assert now.generation == was.generation + 1 == done.generation
    assert (now.position, now.event_id, now.epoch) == (was.position, was.event_id, was.epoch)
    assert now.as_of >= was.as_of
    assert await owner.fetch(SHADOW) == []


async def test_its_tables_are_made_like_those_of_the_migrations(log, owner, operator):
    made_of = await owner.fetch(MADE_OF)  # before any projector was here, who begins with a swap
    await a_day(log)
    await rebuild(operator, owner)
    assert await owner.fetch(MADE_OF) == made_of  # rights, indexes, constraints, options


async def test_what_had_drifted_is_right_afterwards(log, stream, projector, owner, operator):
    await a_day(log)
    await stream.copy()
    await at_position(owner, log.position)
    before = await rows(owner)
    await owner.execute("UPDATE read_model.slot SET held = held + 7, version = version + 100")
    await owner.execute("DELETE FROM read_model.booking_line")
    await rebuild(operator, owner)
    assert await rows(owner) == before


async def test_the_live_projector_goes_on_before_and_after(log, stream, projector, owner, operator):
    _, (slot_id, *_) = await a_day(log)
    await stream.copy()
    await at_position(owner, log.position)
    for _ in range(3):
        rebuilding = asyncio.create_task(rebuild(operator, owner))
        while not rebuilding.done():
            await log.hold(slot_id)
            await stream.copy()
        await rebuilding
    await at_position(owner, log.position)
    assert projector.state in ("running", "behind")
    held = await owner.fetchval("SELECT version FROM read_model.slot WHERE slot_id = $1", slot_id)
    touched = await owner.fetchval(
        "SELECT count(*) FROM read_model.slot_history, unnest(positions) WHERE slot_id = $1",
        slot_id,
    )
    assert held == touched


@asynccontextmanager
async def watching(api, resource_id):
    """Readers that ask again and again; what overviews and pages showed, as (position, units taken, slots).

    The overview is always of the tables. A page may come from a node's memory, which outlives a moment
    in which they are empty; of it every slot must add up.
    """
    seen: list[tuple[int, int, int]] = []
    pages: list[tuple[int, int, int]] = []
    ended = asyncio.Event()

    async def read_overview() -> None:
        while not ended.is_set():
            answer = await api.get(f"/v1/resources/{resource_id}/overview")
            assert answer.status_code in (200, 404), answer.text
            shown = answer.json()
            sums = shown.get("availability", {"held": 0, "confirmed": 0, "slots": 0})
            seen.append((shown["position"], sums["held"] + sums["confirmed"], sums["slots"]))

    async def read_pages() -> None:
        while not ended.is_set():
            answer = await api.get(f"/v1/availability?resource_id={resource_id}")
            assert answer.status_code == 200, answer.text
            page = answer.json()
            for slot in page["slots"]:
                assert slot["remaining"] + slot["held"] + slot["confirmed"] == slot["capacity"]
            taken = sum(slot["held"] + slot["confirmed"] for slot in page["slots"])
            pages.append((page["position"], taken, len(page["slots"])))

    reading = [asyncio.create_task(read()) for read in (read_overview, read_pages)]
    try:
        yield seen, pages
    finally:
        ended.set()
        await asyncio.gather(*reading)


async def what_readers_see(log, stream, owner, api, fold_anew):
    """Rebuild twice with `fold_anew` while somebody reads and others book, and never give back."""
    resource_id = await log.resource()
    slots = [await log.slot(resource_id, capacity=10_000) for _ in range(40)]
    for number in range(200):
        await log.hold(slots[number % 40])
    await stream.copy()
    await at_position(owner, log.position)
    async with watching(api, resource_id) as (seen, pages):
        for _ in range(2):
            await more_of(seen)
            rebuilding = asyncio.create_task(fold_anew())
            while not rebuilding.done():
                await log.hold(slots[0])
                await stream.copy()
            await rebuilding
        await more_of(seen)
    return seen, pages


async def more_of(seen) -> None:
    before = len(seen)
    await eventually(lambda: len(seen) > before + 3)


def went_back(seen) -> int:
    return sum(after[0] < before[0] or after[1] < before[1] for before, after in pairwise(seen))


async def test_no_reader_sees_a_position_go_back_or_units_missing(
    log, stream, owner, api, operator
):
    for seen in await what_readers_see(log, stream, owner, api, lambda: rebuild(operator, owner)):
        assert went_back(seen) == 0
        assert {shown for _, _, shown in seen} == {40}


async def test_without_a_shadow_readers_see_both(log, stream, owner, api, operator):
    seen, _ = await what_readers_see(
        log, stream, owner, api, lambda: rebuild_in_place(operator, owner, batch=5)
    )
    assert went_back(seen) > 0
    assert min(taken for _, taken, _ in seen) < 200


@pytest.mark.usefixtures("projector")
async def test_statements_that_were_prepared_before_the_swap_answer_after_it(
    log, stream, owner, operator, database_url
):
    _, (slot_id, *_) = await a_day(log)
    await stream.copy()
    await at_position(owner, log.position)
    node = await asyncpg.connect(database_url, server_settings={"role": "query_reader"})
    ask = await node.prepare(
        "SELECT c.generation, s.* FROM read_model.checkpoint AS c, read_model.slot AS s "
        "WHERE s.slot_id = $1"
    )
    before = await ask.fetchrow(slot_id)
    await rebuild(operator, owner)
    after = await ask.fetchrow(slot_id)
    await node.close()
    assert after["generation"] == before["generation"] + 1
    assert tuple(after)[1:] == tuple(before)[1:]


@pytest.mark.usefixtures("projector")
async def test_a_second_rebuild_is_refused(writer, owner, operator):
    async with shadow_of_mine(operator), writer.acquire() as another:
        with pytest.raises(ShadowInUse):
            await rebuild(another, owner)
    await rebuild(operator, owner)


async def test_who_is_interrupted_leaves_nothing_behind(log, stream, projector, owner, operator):
    await a_day(log)
    await stream.copy()
    await at_position(owner, log.position)
    before = await rows(owner)
    async with owner.acquire() as other, other.transaction():
        await other.execute("LOCK TABLE read_model.slot_history IN ROW SHARE MODE")  # no swap yet
        rebuilding = asyncio.create_task(rebuild(operator, owner))

        async def under_way() -> bool:
            return bool(await owner.fetch(SHADOW))

        await eventually(under_way)
        rebuilding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await rebuilding
    assert await owner.fetch(SHADOW) == []
    assert await rows(owner) == before
    await rebuild(operator, owner)  # nor is the lock


@pytest.mark.usefixtures("projector")
async def test_after_a_crash_the_next_one_begins_from_nothing(
    log, stream, owner, writer, database_url
):
    await a_day(log)
    await stream.copy()
    await at_position(owner, log.position)
    crashing = await asyncpg.connect(database_url, server_settings={"role": "projector_writer"})
    epoch = await stream.epoch()

    async def begin_and_crash() -> None:
        async with shadow_of_mine(crashing):
            await Replay(crashing, owner, epoch).up_to(5)
            crashing.terminate()
            await crashing.execute("SELECT 1")

    with pytest.raises(CONNECTION_LOST):
        await begin_and_crash()
    assert await owner.fetch(SHADOW) != []
    before = await rows(owner)

    async def again() -> bool:
        async with writer.acquire() as connection:
            try:
                return bool(await rebuild(connection, owner))
            except ShadowInUse:  # the server has not noticed yet
                return False

    await eventually(again)
    assert await rows(owner) == before
    assert await owner.fetch(SHADOW) == []


async def test_a_statement_that_is_under_way_is_waited_for_not_cut_off(
    log, stream, projector, owner, operator
):
    await a_day(log)
    await stream.copy()
    await at_position(owner, log.position)
    async with owner.acquire() as reader:
        reading = reader.transaction()
        await reading.start()
        slots = await reader.fetchval("SELECT count(*) FROM read_model.slot")
        rebuilding = asyncio.create_task(rebuild(operator, owner))

        async def waits() -> bool:
            return bool(await owner.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

        await eventually(waits)
        assert await reader.fetchval("SELECT count(*) FROM read_model.slot") == slots
        await reading.commit()
    await rebuilding
    assert await owner.fetchval("SELECT count(*) FROM read_model.slot") == slots


async def test_a_migration_meanwhile_is_not_undone(log, stream, projector, owner, operator):
    await log.slot()
    await stream.copy()
    await at_position(owner, 1)
    async with shadow_of_mine(operator):
        await owner.execute("ALTER TABLE read_model.slot ADD COLUMN colour text")
        with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match="slot"):
            async with operator.transaction():
                await operator.execute("SELECT read_model.swap_shadow($1)", TABLES)
    assert await owner.fetch("SELECT colour FROM read_model.slot")


@pytest.mark.parametrize(
    "table", ["slot", "booking", "booking_line", "slot_history", "booking_event"]
)
async def test_a_shadow_that_does_not_add_up_is_noticed(log, stream, owner, operator, table):
    await a_day(log)
    async with shadow_of_mine(operator):
        replay = Replay(operator, owner, await stream.epoch())
        await replay.up_to(log.position)
        assert await differences(operator, replay.totals) == []
        await operator.execute(
            f"DELETE FROM read_model_shadow.{table} WHERE ctid = (SELECT min(ctid) FROM read_model_shadow.{table})"
        )
        assert {found.table for found in await differences(operator, replay.totals)} == {table}


async def test_events_that_cannot_be_taken_in_are_buried_alike(
    log, stream, projector, owner, operator
):
    _, (slot_id, other, *_) = await a_day(log)
    await log.append("HoldPlaced", '{"state": "held"}', slot_ids=[slot_id, other])
    await log.hold(other)
    await stream.copy()
    await at_position(owner, log.position)

    async def without_when() -> dict:
        everything = await rows(owner)
        letters = await owner.fetch(
            "SELECT position, type, slot_ids, payload FROM read_model.dead_letter"
        )
        return everything | {"dead_letter": letters}

    before = await without_when()
    done = await rebuild(operator, owner)
    assert (done.left_out, done.added_up) == (1, False)
    assert await without_when() == before
    assert [row[0] for row in before["suspect_slot"]] == [slot_id]


async def test_in_a_new_epoch_readers_wait_for_the_swap_and_old_tokens_are_refused(
    log, stream, owner, api
):
    slot_id = await log.slot(capacity=9)
    await stream.copy()
    await at_position(owner, log.position)
    token = (await api.get(f"/v1/slots/{slot_id}")).headers["Consistency-Token"]

    async def slug(**headers: str) -> str | None:
        answer = await api.get(f"/v1/slots/{slot_id}", headers=headers)
        return None if answer.status_code == 200 else answer.json()["type"].rpartition("/")[2]

    async with owner.acquire() as reader:
        reading = reader.transaction()
        await reading.start()
        await reader.fetch("SELECT FROM read_model.booking")  # keeps the swap waiting
        await owner.execute("SELECT published.new_epoch(epoch) FROM published.head")

        async def rebuilding() -> bool:
            return await slug() == "rebuilding"

        await eventually(rebuilding, within_s=8)
        assert await slug(**{"Consistency-Token": token}) in ("rebuilding", "token-epoch-changed")
        await reading.commit()

    async def told_again() -> bool:
        return await slug() is None

    await eventually(told_again, within_s=8)
    assert await slug(**{"Consistency-Token": token}) == "token-epoch-changed"
    fresh = (await api.get(f"/v1/slots/{slot_id}")).headers["Consistency-Token"]
    assert await slug(**{"Consistency-Token": fresh}) is None


async def test_a_projector_that_is_told_to_stop_while_it_rebuilds_ends_and_leaves_nothing(
    log, stream, owner, writer
):
    await a_day(log)
    async with owner.acquire() as reader:
        reading = reader.transaction()
        async with projecting(writer, stream.url) as projector:
            await reading.start()
            await reader.fetch("SELECT FROM read_model.booking")  # keeps the swap waiting
            await owner.execute("SELECT published.new_epoch(epoch) FROM published.head")
            await eventually(lambda: projector.state == "rebuilding", within_s=8)
        assert await owner.fetch(SHADOW) == []  # it has ended
        await reading.rollback()
