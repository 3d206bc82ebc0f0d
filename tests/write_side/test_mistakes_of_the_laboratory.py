"""Each mistake that the product does not make, made beside it: with it the anomaly is there, without it not.

They are not guards that forget to count (`test_the_guard_family.py`), but what else goes wrong around a
guard: stays of some nights only, batches that decide about their members, locks in any order,
clocks that disagree.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
from eventually import eventually
from shop import ADA, Shop, open_shop
from test_the_batcher import POISON, open_desk, outcomes

from booking.commands import Call, Command
from booking.embedded.postgres import create_database
from booking.faults import CommandFailed
from booking.guards import GUARDS, THE_PRODUCTS, application_clock, unsorted_locks

NIGHTS = 4


async def nights(shop: Shop, *, sold_out: int) -> list[str]:
    """Slots of one unit in the order of their ids, which is the order of taking; one of them is sold."""
    slots = sorted(await shop.slots(NIGHTS, capacity=1))
    await shop.booked(slots[sold_out])
    return slots


async def live_lines(database: asyncpg.Connection) -> int:
    """Of bookings of more than one line, and of those that should have had more."""
    return await database.fetchval(
        """
        SELECT count(*) FROM booking.booking_line JOIN booking.booking USING (booking_id)
        WHERE state IN ('held', 'confirmed')
        """
    )


@pytest.mark.parametrize(("guard", "left_behind"), [(None, 0), ("line_by_line", 2)])
@pytest.mark.parametrize("mode", ["book", "hold"])
async def test_a_stay_that_is_refused_for_its_third_night_leaves_nothing_unless_taken_line_by_line(
    database_url, guard, left_behind, mode
):
    async with open_shop(database_url, guard=guard) as shop:
        wanted = await nights(shop, sold_out=2)
        answer = await shop.take(dict.fromkeys(wanted, 1), mode=mode)
        assert (answer.status_code, answer.json()["type"]) == (409, "/problems/capacity-exceeded")
        assert await live_lines(shop.database) == 1 + left_behind
        await shop.assert_books_agree()


@pytest.mark.parametrize(("guard", "kept"), [(None, 2), ("line_by_line", 1)])
async def test_a_stay_that_cannot_be_moved_keeps_its_nights_unless_moved_line_by_line(
    database_url, guard, kept
):
    async with open_shop(database_url, guard=guard) as shop:
        now, wanted = await shop.slots(2, capacity=1), await nights(shop, sold_out=1)
        stay = await shop.booked(dict.fromkeys(now, 1))
        lines = [{"slot_id": slot, "units": 1} for slot in wanted]
        moved = await shop.post(
            f"/v1/bookings/{stay}/reschedule", {"lines": lines}, key="move", if_match="*"
        )
        assert moved.status_code == 409
        assert await live_lines(shop.database) == 1 + kept
        await shop.assert_books_agree()


async def test_a_stay_that_finds_all_its_nights_is_the_same_line_by_line(database_url):
    async with open_shop(database_url, guard="line_by_line") as shop:
        wanted = dict.fromkeys(await shop.slots(NIGHTS, capacity=2), 2)
        answer = await shop.take(wanted)
        assert (answer.status_code, answer.headers["location"]) == (
            201,
            f"/v1/bookings/{answer.json()['booking_id']}",
        )
        assert {line["slot_id"]: line["units"] for line in answer.json()["lines"]} == wanted
        assert (await shop.order("cancel", answer.json()["booking_id"])).status_code == 200
        assert await live_lines(shop.database) == 0
        await shop.assert_books_agree()


def order(*lines: tuple[str, int], key: str | None = None) -> Command:
    """A booking, as the API hands it to a guard."""
    call = Call(
        caller="guest",
        command_id=key or str(uuid4()),
        fingerprint=b"places",
        deadline=datetime.now(UTC) + timedelta(seconds=30),
    )
    wanted = tuple(sorted((UUID(slot), units) for slot, units in lines))
    return Command("BookNow", call, uuid4(), uuid4(), None, wanted)


@pytest.mark.parametrize(
    ("guard", "outcomes"),
    [
        (THE_PRODUCTS, ["accepted", "capacity-exceeded", "accepted"]),
        ("by_the_sum", ["accepted", "capacity-exceeded", "capacity-exceeded"]),
    ],
)
async def test_of_two_parties_that_do_not_fit_together_one_is_served_unless_their_sum_decides(
    shop, database_url, guard, outcomes
):
    roomy, last_three = await shop.slot(9), await shop.slot(3)
    batch = [order((roomy, 2)), order((last_three, 4)), order((last_three, 2))]
    async with a_writer(database_url) as connection:
        decisions = await GUARDS[guard].take(connection, batch)
        decided = {decision.ordinal: decision for decision in decisions}
        assert [decided[n].outcome for n in range(3)] == outcomes
        refused = json.loads(decided[1].body)["lines"]
        [again] = await GUARDS[guard].take(connection, [order((last_three, 1))])
        assert again.outcome == "accepted"  # alone, nobody is sent away for what others want
    left = 3 if guard == "by_the_sum" else 1
    assert refused[0] | {"version": 0} == {
        "slot_id": last_three,
        "requested": 4,
        "remaining": 3,
        "version": 0,
    }
    assert await shop.database.fetchval(
        "SELECT capacity - confirmed FROM booking.slot WHERE slot_id = $1", UUID(last_three)
    ) == (left - 1)
    await shop.assert_books_agree()


@pytest.mark.parametrize("halving", [True, False])
async def test_a_poisoned_command_fails_alone_unless_nobody_looks_for_it(
    shop, database_url, halving
):
    assert GUARDS["all_fail_together"].halving is False
    async with open_desk(database_url, halving=halving) as desk:
        slot = await shop.slot(100)
        futures = [desk.book(slot, customer=POISON if n == 3 else ADA) for n in range(8)]
        failed = [isinstance(outcome, CommandFailed) for outcome in await outcomes(futures)]
    assert failed == ([n == 3 for n in range(8)] if halving else [True] * 8)
    assert await shop.database.fetchval("SELECT confirmed FROM booking.slot") == (
        7 if halving else 0
    )


@pytest.mark.parametrize("guard", [THE_PRODUCTS, "unsorted_locks"])
async def test_two_batches_that_want_the_same_nights_deadlock_only_where_they_lock_as_they_like(
    shop, database_url, guard
):
    one, other = sorted(await shop.slots(2, capacity=9))
    lines = [(one, 1), (other, 1)]

    def named(first: str) -> Command:
        tries = (order(*lines) for _ in iter(int, 1))
        return next(it for it in tries if unsorted_locks.as_named(it)[0] == UUID(first))

    async with (
        a_writer(database_url) as doorkeeper,
        a_writer(database_url) as first,
        a_writer(database_url) as second,
    ):
        door = doorkeeper.transaction()
        await door.start()
        await doorkeeper.execute(unsorted_locks.LOCK, UUID(other))
        guests = []
        for waiting, (connection, begins_with) in enumerate([(second, other), (first, one)], 1):
            guests.append(asyncio.create_task(GUARDS[guard].take(connection, [named(begins_with)])))
            await eventually(
                lambda waiting=waiting: shop.database.fetchval(
                    "SELECT count(DISTINCT pid) = $1 FROM pg_locks WHERE NOT granted", waiting
                ),
                because=f"{waiting} guests wait for a lock",
            )
        await door.rollback()
        ends = await asyncio.gather(*guests, return_exceptions=True)
    deadlocks = [end for end in ends if isinstance(end, asyncpg.DeadlockDetectedError)]
    assert len(deadlocks) == (guard == "unsorted_locks")
    assert [end[0].outcome for end in ends if end not in deadlocks] == ["accepted"] * (
        2 - len(deadlocks)
    )
    await shop.assert_books_agree()


@pytest.mark.parametrize("guard", [None, "application_clock"])
async def test_a_hold_is_not_resold_while_it_lasts_unless_a_clock_is_ahead(
    postgres, migrated, guard, monkeypatch
):
    monkeypatch.setattr(application_clock, "AHEAD", timedelta(hours=1))  # nobody is in a hurry
    url = await create_database(postgres, f"two_clocks_{guard}", template=migrated)
    ahead = f"{guard}_ahead" if guard else None
    last_line = guard is None
    async with (
        open_shop(url, guard=guard, last_line=last_line) as shop,
        open_shop(url, guard=ahead, last_line=last_line) as other,
    ):
        slot = await shop.slot(1)
        hold = await shop.held(slot)
        assert (await shop.take(slot)).status_code == 409
        resold = await other.take(slot)
        paid = await shop.order("confirm", hold)
        assert resold.status_code == (201 if guard else 409)
        assert paid.status_code == 200, paid.text
        assert paid.json()["state"] == "confirmed"
        assert await shop.oversold(slot) == (1 if guard else 0)
        assert (await shop.order("confirm", hold)).content == paid.content
        await shop.assert_books_agree()


@asynccontextmanager
async def a_writer(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection as the API's."""
    connection = await asyncpg.connect(database_url, server_settings={"role": "booking_writer"})
    try:
        yield connection
    finally:
        await connection.close()
