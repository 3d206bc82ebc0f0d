"""Is the read model what the log says? Every kind of drift in every table is found, and mended."""

import asyncio

import asyncpg
import pytest
from test_rebuild import SHADOW, a_day, at_position, rows

from projector.guards.checkpoint_compare_and_set import read_checkpoint
from projector.projections import TABLES
from projector.verify.verify import NothingToVerify, verify

# What goes wrong with a row: not there, there for no reason, or saying something else.
DIFFERENT = {
    "resource": "UPDATE {t} SET name = 'Hall Z'",
    "slot": "UPDATE {t} SET held = held + 1",
    "booking": "UPDATE {t} SET state = 'released'",
    "booking_line": "UPDATE {t} SET units = units + 1",
    "activity": "UPDATE {t} SET held = held - 1",
    "booked": "UPDATE {t} SET units = units - 1",
    "slot_history": "UPDATE {t} SET positions[array_upper(positions, 1)] = 7",
    "booking_event": "UPDATE {t} SET position = position - 1",
    "dead_letter": "UPDATE {t} SET payload = '{{}}'",
    "suspect_slot": "UPDATE {t} SET position = position - 1",
    "suspect_booking": "UPDATE {t} SET position = position - 1",
}
ONE = " WHERE ctid = (SELECT min(ctid) FROM {t})"
FALSE_KEY = {
    "activity": "hour = hour - interval '1 hour'",
    "booked": "state = 'nonsense'",
    "slot_history": "part = part + 1000",
    "booking_event": "version = version + 1000",
    "booking_line": "slot_id = gen_random_uuid()",
    "dead_letter": "position = position + 1000000",
}
KEY = {"suspect_slot": "slot_id", "suspect_booking": "booking_id"}


def plant(table: str, kind: str) -> str:
    """The statement that makes one row of a table wrong."""
    name = f"read_model.{table}"
    match kind:
        case "missing":
            return f"DELETE FROM {name}" + ONE.format(t=name)
        case "different":
            return DIFFERENT[table].format(t=name) + ONE.format(t=name)
        case _:
            key = KEY.get(table, f"{table}_id")
            false_key = FALSE_KEY.get(table, f"{key} = gen_random_uuid()")
            return f"UPDATE {name} SET {false_key}" + ONE.format(t=name)


@pytest.fixture
async def operator(writer: asyncpg.Pool):
    """A connection of a command's own."""
    async with writer.acquire() as connection:
        yield connection


@pytest.fixture
async def told(log, stream, projector, owner):
    """A read model with something in every table."""
    _, (slot_id, *_) = await a_day(log)
    booking_id = await log.hold(slot_id)
    await log.append("HoldReleased", "{}", booking_id=booking_id, slot_ids=[slot_id])
    await stream.copy()
    await at_position(owner, log.position)
    before = await rows(owner)
    assert all(before.values()), "every table has rows"
    return before


async def test_an_untouched_read_model_is_what_the_log_says(told, owner, operator):
    report = await verify(operator, owner)
    assert (report.verdict, report.drift, report.witnesses) == ("valid", {}, [])
    assert report.rows == sum(map(len, told.values()))
    assert await owner.fetch(SHADOW) == []
    assert await owner.fetchval("SELECT drift FROM read_model.verification") == 0


@pytest.mark.parametrize("kind", ["missing", "different", "misplaced"])
async def test_drift_is_found_in_every_table_and_mended(told, owner, operator, kind):
    for table in TABLES:
        await owner.execute(plant(table, kind))
    wrong, generation = await rows(owner), (await read_checkpoint(owner)).generation
    assert all(wrong[table] != told[table] for table in TABLES)

    report = await verify(operator, owner)
    assert set(report.drift) == set(TABLES)
    assert set(report.drift.values()) == {2 if kind == "misplaced" else 1}
    assert await rows(owner) == wrong  # looked at only
    kinds = {"missing", "surplus"} if kind == "misplaced" else {kind}
    assert {witness.kind for witness in report.witnesses} == kinds
    sizes = [witness.size for witness in report.witnesses]
    assert sizes == sorted(sizes)
    assert await owner.fetchval("SELECT drift FROM read_model.verification") == len(sizes)

    mended = await verify(operator, owner, repair=True)
    assert mended.repaired == sum(report.drift.values())
    when = {"dead_letter"}  # says when it was buried
    now = await rows(owner)
    assert {t: now[t] for t in TABLES if t not in when} == {
        t: told[t] for t in TABLES if t not in when
    }
    assert (await read_checkpoint(owner)).generation > generation  # nobody keeps what was wrong
    assert (await verify(operator, owner)).verdict == "valid"


@pytest.mark.usefixtures("told")
async def test_a_witness_says_what_the_row_says_and_what_the_log_says(owner, operator):
    slot_id = await owner.fetchval(
        "UPDATE read_model.slot SET held = held + 1" + ONE.format(t="read_model.slot")
        + " RETURNING slot_id"
    )  # fmt: skip
    (witness,) = (await verify(operator, owner)).witnesses
    assert (witness.table, witness.kind) == ("slot", "different")
    assert witness.key == {"slot_id": str(slot_id)}
    assert witness.read_model["held"] == witness.log["held"] + 1
    assert set(witness.log) == {"held"}


@pytest.mark.usefixtures("told")
async def test_what_is_projected_meanwhile_is_no_drift(log, stream, owner, operator):
    slot_id = await owner.fetchval("SELECT slot_id FROM read_model.slot LIMIT 1")
    for _ in range(3):
        verifying = asyncio.create_task(verify(operator, owner))
        while not verifying.done():
            await log.hold(slot_id)
            await stream.copy()
        assert (await verifying).verdict == "valid"


async def test_a_suspicion_that_has_no_reason_any_more_is_cleared(told, owner, operator):
    await owner.execute("INSERT INTO read_model.suspect_slot VALUES (gen_random_uuid(), 1)")
    assert (await verify(operator, owner, repair=True)).drift == {"suspect_slot": 1}
    assert len(await owner.fetch("SELECT FROM read_model.suspect_slot")) == len(
        told["suspect_slot"]
    )


async def test_nothing_is_concluded_while_it_is_rebuilt(owner, operator):
    with pytest.raises(NothingToVerify):  # no projector was ever here
        await verify(operator, owner)
