"""A batch is written in few round trips, and writes what many statements would write."""

from booking.events.envelope import decode
from projector.consumer.apply import apply
from projector.guards.checkpoint_compare_and_set import read_checkpoint
from projector.guards.dead_letters import SuspectSlots
from projector.guards.one_epoch_only import begin_epoch
from projector.log_reader import read_payloads
from projector.projections import TABLES, Write, at_once
from projector.projections.histories import PART


def test_what_touches_its_own_rows_goes_along_with_what_returns_slots():
    merged = at_once(
        [
            Write("UPDATE slot SET held = $1 RETURNING *", ("h",), slots=True),
            Write("INSERT INTO booking VALUES ($1, $2)", ("b", "c")),
            Write("DELETE FROM line WHERE id = $1", ("old",), after=True),
            Write("INSERT INTO line VALUES ($1)", ("new",), after=True),
            Write("INSERT INTO activity VALUES ($1)", ("a",)),
        ]
    )
    assert merged == [
        Write(
            "WITH part_0 AS (INSERT INTO booking VALUES ($2, $3)), "
            "part_1 AS (INSERT INTO activity VALUES ($4)) "
            "UPDATE slot SET held = $1 RETURNING *",
            ["h", "b", "c", "a"],
            slots=True,
        ),
        Write("DELETE FROM line WHERE id = $1", ("old",), after=True),
        Write("INSERT INTO line VALUES ($1)", ("new",), after=True),
    ]


def test_a_single_write_stays_what_it_is():
    (merged,) = at_once([Write("INSERT INTO booking VALUES ($1)", ("b",))])
    assert merged.sql.strip() == "INSERT INTO booking VALUES ($1)"
    assert at_once([]) == []


async def test_a_day_written_at_once_is_the_day_written_event_by_event(log, owner, writer):
    slots = [await log.slot(await log.resource(), capacity=50) for _ in range(3)]
    bookings = [await log.hold(slots[n % 3], slots[(n + 1) % 3]) for n in range(6)]
    for booking_id in bookings[::2]:
        await log.confirm(booking_id)
        await log.cancel(booking_id)
    for _ in range(2 * PART):  # its history takes several rows
        await log.hold(slots[0])
    epoch = await owner.fetchval("SELECT epoch FROM published.head")
    events = [decode(p) for _, p in await read_payloads(owner, epoch=epoch, after=0, limit=1000)]

    async def written(batch: int) -> dict:
        async with writer.acquire() as connection:
            for table in TABLES:
                await connection.execute(f"DELETE FROM read_model.{table}")
            at = await begin_epoch(connection, await read_checkpoint(connection), epoch)
            for first in range(0, len(events), batch):
                page = events[first : first + batch]
                at = (
                    await apply(connection, at, page, heard=None, suspects=SuspectSlots())
                ).checkpoint
        return {
            table: {
                row for (row,) in await owner.fetch(f"SELECT t::text FROM read_model.{table} AS t")
            }
            for table in TABLES
        }

    assert await written(1) == await written(7) == await written(1000)
