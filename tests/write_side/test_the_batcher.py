"""Micro-batching: what waits together is decided together, each command on its own."""

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
from eventually import eventually
from shop import ADA

from booking.attempts import Attempts
from booking.batcher import Batcher
from booking.commands import Call, Command
from booking.edge.database import open_pool
from booking.faults import CommandFailed, DatabaseUnavailable, Draining, NotDecided, QueueFull
from booking.guards import conditional_write

POISON = None
"""A customer that no booking may have: the database's own rule refuses it."""


class Counting:
    """The product's guard behind a door that a test opens, remembering the batches it was given."""

    def __init__(self):
        self.batches = []
        self.door = asyncio.Event()
        self.door.set()

    async def take(self, connection, commands):
        self.batches.append(commands)
        await self.door.wait()
        return await conditional_write.take(connection, commands)

    @property
    def sizes(self):
        return [len(batch) for batch in self.batches]


class Desk:
    """A batcher on a database of its own, and what was counted."""

    def __init__(self, batcher, guard, reruns):
        self.batcher, self.guard, self.reruns = batcher, guard, reruns

    def book(self, slot, *, units=1, key=None, customer=ADA, fingerprint=b"f", within_s=5.0):
        call = Call(
            caller="tests",
            command_id=key or str(uuid4()),
            fingerprint=fingerprint,
            deadline=datetime.now(UTC) + timedelta(seconds=within_s),
        )
        who = customer if customer in (POISON, MISSPELT) else UUID(customer)
        return self.batcher.submit(
            Command("BookNow", call, uuid4(), who, None, ((UUID(slot), units),))
        )

    def order(self, kind, booking):
        call = Call(
            caller="tests",
            command_id=str(uuid4()),
            fingerprint=b"f",
            deadline=datetime.now(UTC) + timedelta(seconds=5),
        )
        return self.batcher.submit(Command(kind, call, booking))


@asynccontextmanager
async def open_desk(database_url, **limits):
    pool = await open_pool(
        database_url,
        role="booking_writer",
        name="batcher-under-test",
        size_max=2,
        statement_timeout_ms=4000,
        lock_timeout_ms=100,
    )
    guard, reruns = Counting(), Counter()
    attempts = Attempts(pool, on_rerun=lambda error: reruns.update([error]))
    batcher = Batcher(guard.take, attempts, **limits)
    yield Desk(batcher, guard, reruns)
    guard.door.set()
    await batcher.stop()
    await pool.close()


MISSPELT = "no uuid at all"
"""A customer that the driver refuses to send."""


@pytest.fixture
async def desk(database_url):
    async with open_desk(database_url) as open_now:
        yield open_now


async def outcomes(futures):
    answers = await asyncio.gather(*futures, return_exceptions=True)
    return [a if isinstance(a, Exception) else a.outcome for a in answers]


async def test_what_queues_while_a_batch_is_in_flight_is_the_next_batch(shop, desk):
    slot = await shop.slot(100)
    desk.guard.door.clear()
    first = desk.book(slot)
    await eventually(lambda: desk.guard.batches)
    others = [desk.book(slot) for _ in range(20)]
    desk.guard.door.set()
    assert await outcomes([first, *others]) == ["accepted"] * 21
    assert desk.guard.sizes == [1, 20]


async def test_a_batch_has_a_maximum_and_keeps_the_order_of_arrival(shop, database_url):
    async with open_desk(database_url, batch_size_max=8) as desk:
        slot = await shop.slot(100)
        decisions = await asyncio.gather(*(desk.book(slot) for _ in range(20)))
        assert desk.guard.sizes == [8, 8, 4]
        positions = [decision.position for decision in decisions]
        assert positions == sorted(positions)


async def test_of_a_crowd_one_half_is_decided_while_the_other_asks_again(shop, desk):
    slot = await shop.slot(1000)

    async def asks_again():
        for _ in range(3):
            await desk.book(slot)

    await asyncio.gather(*(asks_again() for _ in range(150)))
    assert desk.guard.sizes == [75] * 6


async def test_a_small_crowd_is_not_divided(shop, desk):
    slot = await shop.slot(100)
    assert await outcomes([desk.book(slot) for _ in range(60)]) == ["accepted"] * 60
    assert desk.guard.sizes == [60]


@pytest.mark.parametrize("poison", [POISON, MISSPELT])
async def test_one_poisoned_command_fails_alone_and_its_neighbours_are_served(shop, desk, poison):
    slot = await shop.slot(100)
    futures = [desk.book(slot, customer=poison if n == 11 else ADA) for n in range(40)]
    answers = await outcomes(futures)
    fault = answers.pop(11)
    assert isinstance(fault, CommandFailed)
    assert fault.outcome == "did-not-happen"
    assert not desk.reruns
    assert answers == ["accepted"] * 39
    assert await shop.database.fetchval("SELECT confirmed FROM booking.slot") == 39
    await shop.assert_books_agree()


async def test_a_full_queue_refuses_at_once_and_loses_nobody_who_was_let_in(shop, database_url):
    async with open_desk(database_url, queue_size_max=3) as desk:
        slot = await shop.slot(100)
        desk.guard.door.clear()
        waiting = [desk.book(slot)]
        await eventually(lambda: desk.guard.batches)
        waiting += [desk.book(slot) for _ in range(3)]
        with pytest.raises(QueueFull):
            desk.book(slot)
        desk.guard.door.set()
        assert await outcomes(waiting) == ["accepted"] * 4


async def test_equal_commands_that_wait_together_are_decided_once(shop, desk):
    slot = await shop.slot(100)
    futures = [desk.book(slot, key="k-1") for _ in range(5)]
    assert await outcomes(futures) == ["accepted"] + ["replayed"] * 4
    assert desk.guard.sizes == [1]


async def test_one_key_for_two_different_commands_is_never_in_one_batch(shop, desk):
    slot = await shop.slot(100)
    futures = [desk.book(slot, key="k-1", fingerprint=f) for f in (b"a", b"b", b"a")]
    assert await outcomes(futures) == ["accepted", "idempotency-key-reused", "replayed"]
    assert desk.guard.sizes == [1, 1]


async def test_two_commands_about_one_booking_are_decided_in_their_order(shop, desk):
    slot = await shop.slot(100)
    booking = UUID(await shop.held(slot))
    futures = [
        desk.order("ConfirmBooking", booking),
        desk.order("ReleaseHold", booking),
        desk.order("CancelBooking", booking),
        desk.book(slot),
    ]
    assert await outcomes(futures) == ["accepted", "wrong-state", "accepted", "accepted"]
    assert desk.guard.sizes == [2, 1, 1]


async def test_a_client_that_goes_away_does_not_take_its_command_along(shop, desk):
    slot = await shop.slot(100)
    desk.guard.door.clear()
    first = desk.book(slot)
    await eventually(lambda: desk.guard.batches)
    gone, stays = desk.book(slot), desk.book(slot)
    gone.cancel()
    desk.guard.door.set()
    await asyncio.gather(first, stays)
    assert await shop.database.fetchval("SELECT confirmed FROM booking.slot") == 3


async def test_a_command_past_its_deadline_is_refused_and_did_not_happen(shop, desk):
    slot = await shop.slot(100)
    late = await desk.book(slot, within_s=-1)
    assert (late.outcome, late.status) == ("not-decided", 503)
    assert await shop.database.fetchval("SELECT confirmed FROM booking.slot") == 0


async def test_a_command_run_again_past_its_deadline_did_not_happen_and_never_will(
    shop, desk, database_url
):
    slot = await shop.slot(100)
    async with locked(database_url, slot):
        late = desk.book(slot, key="late", within_s=0.3)
        await eventually(lambda: desk.reruns["LockNotAvailableError"] >= 4)  # 0.1 s each
    decided = await late
    assert (decided.outcome, decided.status) == ("not-decided", 503)
    assert (await shop.http.get("/v1/commands/late")).status_code == 404
    assert await shop.database.fetchval("SELECT confirmed FROM booking.slot") == 0


@asynccontextmanager
async def locked(database_url, slot):
    """Somebody else holds the slot's row."""
    other = await asyncpg.connect(database_url)
    async with other.transaction():
        await other.execute("SELECT FROM booking.slot WHERE slot_id = $1 FOR UPDATE", UUID(slot))
        yield
    await other.close()


async def test_a_lock_that_is_held_too_long_is_waited_for_again(shop, desk, database_url):
    slot = await shop.slot(100)
    async with locked(database_url, slot):
        booking = desk.book(slot)
        await eventually(lambda: desk.reruns["LockNotAvailableError"])
    assert (await booking).outcome == "accepted"
    assert await shop.database.fetchval("SELECT confirmed FROM booking.slot") == 1


async def test_a_connection_lost_in_the_middle_is_replaced_and_nothing_is_decided_twice(
    shop, desk, database_url
):
    slot = await shop.slot(100)
    async with locked(database_url, slot):
        bookings = [desk.book(slot) for _ in range(5)]
        victim = await eventually(
            lambda: shop.database.fetchval(
                "SELECT pid FROM pg_stat_activity WHERE application_name = 'batcher-under-test' "
                "AND datname = current_database() AND wait_event_type = 'Lock'"
            )
        )
        await shop.database.fetchval("SELECT pg_terminate_backend($1)", victim)
        await eventually(lambda: desk.reruns)
    assert await outcomes(bookings) == ["accepted"] * 5
    assert await shop.database.fetchval("SELECT confirmed FROM booking.slot") == 5
    await shop.assert_books_agree()


async def test_what_committed_before_its_connection_was_lost_is_found_again_not_repeated(
    shop, desk
):
    """The commit is there, the answer is not: the re-run finds the record."""
    slot = await shop.slot(100)
    lost = []

    async def loses_the_first_answer(connection, commands):
        decided = await conditional_write.take(connection, commands)
        if not lost:
            lost.append(decided)
            raise ConnectionResetError
        return decided

    desk.batcher._take = loses_the_first_answer
    decision = await desk.book(slot)
    assert decision.accepted
    assert decision.body == lost[0][0].body
    assert await shop.database.fetchval("SELECT confirmed FROM booking.slot") == 1


async def test_a_fault_says_whether_the_command_may_have_happened(shop, desk, monkeypatch):
    monkeypatch.setattr("booking.batcher.DEADLINE_S", 0.0)
    slot = await shop.slot(100)
    for error, expected in (
        (ConnectionResetError(), DatabaseUnavailable("may-have-happened")),
        (asyncpg.DeadlockDetectedError(), NotDecided()),
    ):

        async def fails(connection, commands, error=error):
            raise error

        desk.batcher._take = fails
        (fault,) = await outcomes([desk.book(slot)])
        assert type(fault) is type(expected)
        assert fault.outcome == expected.outcome


async def test_a_draining_batcher_refuses_new_commands_and_decides_those_it_has(shop, desk):
    slot = await shop.slot(100)
    futures = [desk.book(slot) for _ in range(5)]
    desk.batcher.drain()
    with pytest.raises(Draining):
        desk.book(slot)
    await desk.batcher.stop()
    assert await outcomes(futures) == ["accepted"] * 5


async def test_a_herd_on_a_sold_out_slot_costs_few_calls_and_writes_nothing(shop, desk):
    slot = await shop.slot(1)
    await shop.booked(slot)
    written = 'SELECT xmin::text, ctid::text, "position" FROM booking.log_head'
    before = await shop.database.fetchrow(written)
    answers = await outcomes([desk.book(slot) for _ in range(1000)])
    assert answers == ["capacity-exceeded"] * 1000
    assert len(desk.guard.batches) <= 1000 / 50
    assert await shop.database.fetchrow(written) == before
    assert await shop.database.fetchval("SELECT count(*) FROM booking.booking") == 1
