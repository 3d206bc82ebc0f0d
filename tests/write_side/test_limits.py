"""What one booking and one customer may have of a slot holds however it is asked for."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import cycle
from uuid import UUID, uuid4

import pytest
from eventually import eventually
from shop import ADA, BOB, all_at_once, open_shop

from booking.commands import Call, Command, SetPolicy
from booking.guards import conditional_write
from booking.guards.inventory import set_policy

COUNTED = """
SELECT l.slot_id, b.customer_id, sum(l.units)::int AS units
FROM booking.booking AS b JOIN booking.booking_line AS l USING (booking_id)
JOIN booking.slot AS s USING (slot_id) JOIN booking.resource AS r USING (resource_id)
WHERE b.state IN ('held', 'confirmed') AND r.units_per_customer_max IS NOT NULL
GROUP BY l.slot_id, b.customer_id
"""


async def units_of(shop, customer, slot):
    """What a customer has of a slot in live bookings; the kept count must say the same."""
    counted = {(str(s), str(c)): units for s, c, units in await shop.database.fetch(COUNTED)}
    kept = {
        (str(s), str(c)): units
        for s, c, units in await shop.database.fetch(
            "SELECT slot_id, customer_id, units FROM booking.customer_use WHERE units > 0"
        )
    }
    assert kept == counted
    return counted.get((slot, customer), 0)


async def move(shop, booking, lines):
    body = {"lines": [{"slot_id": slot, "units": units} for slot, units in lines.items()]}
    return await shop.post(
        f"/v1/bookings/{booking}/reschedule", body, key=str(uuid4()), if_match="*"
    )


async def transfer(shop, booking, customer):
    return await shop.post(f"/v1/bookings/{booking}/transfer", {"customer_id": customer})


def slug(answer):
    return answer.json()["type"].removeprefix("/problems/")


async def test_one_customer_on_fifty_connections_at_two_processes_gets_what_one_may_have(
    shop, database_url
):
    async with open_shop(database_url) as other:
        slot = await shop.slot(100, units_per_customer_max=5)
        who = cycle((shop, other))
        answers = await all_at_once([partial(next(who).take, slot) for _ in range(50)])
        assert sorted(a.status_code for a in answers) == [201] * 5 + [409] * 45
        assert {slug(a) for a in answers if a.status_code == 409} == {"customer-limit-exceeded"}
        assert await units_of(shop, ADA, slot) == 5
        await shop.assert_books_agree()


async def test_neither_transfers_nor_reschedules_lead_around_the_limit(shop, database_url):
    async with open_shop(database_url) as other:
        there, here = await shop.slots(2, capacity=100, units_per_customer_max=6)
        hers = [await shop.booked(there) for _ in range(6)]
        others = [
            (await shop.take(here, customer=str(uuid4()))).json()["booking_id"] for _ in range(15)
        ]
        who = cycle((shop, other))
        orders = [
            *(partial(move, next(who), booking, {here: 1}) for booking in hers),
            *(partial(transfer, next(who), booking, ADA) for booking in others),
            *(partial(next(who).take, here) for _ in range(15)),
        ]
        answers = await all_at_once(orders)
        assert {a.status_code for a in answers} <= {200, 201, 409}
        assert sum(a.status_code < 300 for a in answers) == 6
        assert {slug(a) for a in answers if a.status_code == 409} == {"customer-limit-exceeded"}
        assert await units_of(shop, ADA, here) == 6
        await shop.assert_books_agree()


async def test_the_refusal_says_what_the_customer_has_and_may_have(shop):
    slot = await shop.slot(10, units_per_customer_max=3)
    await shop.booked({slot: 2})
    refusal = await shop.take({slot: 2})
    assert refusal.json()["lines"] == [{"slot_id": slot, "requested": 2, "used": 2, "limit": 3}]
    assert (await shop.take({slot: 3}, customer=BOB)).status_code == 201


@pytest.mark.parametrize("verb", ["release", "cancel"])
async def test_what_a_customer_gives_back_may_be_taken_again(shop, verb):
    slot = await shop.slot(10, units_per_customer_max=2)
    booking = await shop.held({slot: 2})
    assert (await shop.take(slot)).status_code == 409
    await shop.order(verb, booking)
    assert (await shop.take({slot: 2})).status_code == 201
    assert await units_of(shop, ADA, slot) == 2


async def test_a_transfer_counts_for_the_new_customer_and_no_longer_for_the_old(shop):
    slot = await shop.slot(10, units_per_customer_max=2)
    booking = await shop.booked({slot: 2})
    assert (await transfer(shop, booking, BOB)).status_code == 200
    assert (await units_of(shop, ADA, slot), await units_of(shop, BOB, slot)) == (0, 2)
    second = (await shop.take({slot: 1})).json()["booking_id"]
    refusal = await transfer(shop, second, BOB)
    assert (refusal.status_code, slug(refusal)) == (409, "customer-limit-exceeded")


async def test_a_reschedule_counts_what_it_adds_only(shop):
    slot, next_slot = await shop.slots(2, capacity=10, units_per_customer_max=4)
    booking = await shop.booked({slot: 4})
    moved = await move(shop, booking, {slot: 3, next_slot: 4})
    assert moved.status_code == 200
    assert (await move(shop, booking, {next_slot: 5})).status_code == 409
    assert (await units_of(shop, ADA, slot), await units_of(shop, ADA, next_slot)) == (3, 4)


async def test_a_limit_that_comes_later_counts_what_customers_have_already(shop):
    resource = await shop.resource()
    (slot,) = await shop.slots(1, capacity=10, resource=resource)
    await shop.booked({slot: 3})
    policy = {
        "hold_seconds": 900,
        "units_per_booking_max": None,
        "units_per_customer_max": 4,
        "overbooking_units": 0,
    }
    path = f"/v1/resources/{resource}/policy"
    assert (await shop.post(path, policy, if_match='"1"')).status_code == 200
    assert (await shop.take({slot: 2})).status_code == 409
    assert (await shop.take(slot)).status_code == 201
    assert await units_of(shop, ADA, slot) == 4
    lower = await shop.post(path, policy | {"units_per_customer_max": 2}, if_match='"2"')
    assert lower.json()["policy"]["units_per_customer_max"] == 2
    assert (await shop.take(slot)).json()["lines"][0]["used"] == 4
    without = policy | {"units_per_customer_max": None}
    assert (await shop.post(path, without, if_match='"3"')).status_code == 200
    assert (await shop.take({slot: 5})).status_code == 201
    assert (await shop.post(path, policy, if_match='"4"')).status_code == 200
    assert await units_of(shop, ADA, slot) == 9


WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'
  AND query LIKE '%' || $1 || '%' AND pid <> pg_backend_pid()
"""


async def waiting(shop, function):
    """How many wait in `function`; within a transaction Postgres would look once for all."""
    await shop.database.execute("SELECT pg_stat_clear_snapshot()")
    return await shop.database.fetchval(WAITING, function)


async def test_who_waited_while_a_limit_came_is_judged_by_it(shop):
    resource = await shop.resource()
    (slot,) = await shop.slots(1, capacity=10, resource=resource)
    await shop.booked({slot: 3})
    call = Call(
        caller="tests",
        command_id=str(uuid4()),
        fingerprint=b"-",
        deadline=datetime.now(UTC) + timedelta(seconds=30),
        if_match=(1,),
    )
    order = SetPolicy(
        hold_seconds=900,
        units_per_booking_max=None,
        units_per_customer_max=3,
        overbooking_units=0,
    )
    async with shop.database.transaction():
        assert (await set_policy(shop.database, call, order, UUID(resource))).accepted
        late = asyncio.create_task(shop.take(slot))
        await eventually(lambda: waiting(shop, "booking.decide"))
    assert slug(await late) == "customer-limit-exceeded"
    assert await units_of(shop, ADA, slot) == 3


@pytest.mark.parametrize(("before", "after"), [(4, 1), (1, 4)])
async def test_what_is_decided_while_a_policy_changes_is_judged_by_the_policy_before_it_in_the_log(
    shop, before, after
):
    resource = await shop.resource(units_per_booking_max=before)
    (slot,) = await shop.slots(1, capacity=10, resource=resource)
    booking = await shop.booked(slot)
    policy = {
        "hold_seconds": 900,
        "units_per_booking_max": after,
        "units_per_customer_max": None,
        "overbooking_units": 0,
    }
    async with shop.database.transaction():
        await shop.database.execute(
            "SELECT FROM booking.booking WHERE booking_id = $1 FOR NO KEY UPDATE", UUID(booking)
        )
        moving = asyncio.create_task(move(shop, booking, {slot: 2}))
        # The slot is locked and its rules are read; the booking's row is waited for.
        await eventually(lambda: waiting(shop, "booking.decide"))
        path = f"/v1/resources/{resource}/policy"
        assert (await shop.post(path, policy, if_match='"1"')).status_code == 200
    moved = await moving
    assert (moved.status_code, moved.json().get("lines")) == (
        (200, [{"slot_id": slot, "units": 2, "remaining": 8, "version": 3}])
        if after > 1
        else (409, [{"slot_id": slot, "requested": 2, "limit": 1}])
    )
    await shop.assert_books_agree()


async def test_a_limit_that_comes_during_a_sale_counts_what_was_done_meanwhile(shop):
    resource = await shop.resource()
    first, one, two = sorted(await shop.slots(3, capacity=50, resource=resource))
    holds = [await shop.held({one: 2, two: 1}) for _ in range(8)]
    policy = {
        "hold_seconds": 900,
        "units_per_booking_max": None,
        "units_per_customer_max": 40,
        "overbooking_units": 0,
    }
    async with shop.database.transaction():
        await shop.database.execute(
            "SELECT FROM booking.slot WHERE slot_id = $1 FOR NO KEY UPDATE", UUID(first)
        )
        coming = asyncio.create_task(
            shop.post(f"/v1/resources/{resource}/policy", policy, if_match='"1"')
        )
        # All that was there is counted, and the slots are being locked.
        await eventually(lambda: waiting(shop, "booking.set_policy"))
        meanwhile = [
            await shop.order("confirm", holds[0]),
            await shop.order("release", holds[1]),
            await shop.order("cancel", holds[2]),
            await transfer(shop, holds[3], BOB),
            await move(shop, holds[4], {two: 3}),
            await transfer(shop, holds[5], BOB),
            await move(shop, holds[5], {one: 1}),
            await transfer(shop, holds[5], ADA),
            await move(shop, holds[6], {two: 4}),
            await shop.order("release", holds[6]),
            await shop.take({one: 3}, customer=BOB),
            await shop.take({one: 1}, mode="hold", customer=BOB),
        ]
    assert {answer.status_code for answer in meanwhile} == {200, 201}
    made = meanwhile[-1].json()["booking_id"]
    assert (await coming).status_code == 200
    assert await units_of(shop, BOB, one) == 2 + 3 + 1
    assert (await shop.order("release", made)).status_code == 200
    assert await units_of(shop, BOB, one) == 2 + 3
    await shop.assert_books_agree()


BOOKINGS_READ = """
SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables
WHERE schemaname = 'booking' AND relname = 'booking'
"""


async def test_many_refusals_at_the_limit_look_once_at_the_holds_past_their_time(unswept_shop):
    shop = unswept_shop
    slot = await shop.slot(100, units_per_customer_max=1)
    await shop.booked(slot)
    for _ in range(20):
        await shop.held(slot, customer=str(uuid4()))
    await shop.database.execute(
        "UPDATE booking.booking SET expires_at = clock_timestamp() - interval '1 hour' "
        "WHERE state = 'held'"
    )
    orders = []
    for _ in range(30):
        call = Call(
            caller="tests",
            command_id=str(uuid4()),
            fingerprint=b"-",
            deadline=datetime.now(UTC) + timedelta(seconds=30),
        )
        lines = ((UUID(slot), 1),)
        orders.append(Command("BookNow", call, uuid4(), UUID(ADA), None, lines))
    async with shop.database.transaction():
        before = await shop.database.fetchval(BOOKINGS_READ) or 0
        decisions = await conditional_write.take(shop.database, orders)
        read = await shop.database.fetchval(BOOKINGS_READ) - before
    assert {decision.outcome for decision in decisions} == {"customer-limit-exceeded"}
    assert 20 <= read < 40


async def test_one_booking_gets_no_more_of_a_slot_than_it_may_also_in_several_lines(shop):
    one, two = await shop.slots(2, capacity=10, units_per_booking_max=2)
    assert (await shop.take({one: 2, two: 2})).status_code == 201
    body = {
        "mode": "book",
        "customer_id": ADA,
        "lines": [{"slot_id": one, "units": 2}, {"slot_id": one, "units": 1}],
    }
    refusal = await shop.post("/v1/bookings", body, key="b-1")
    assert (refusal.status_code, slug(refusal)) == (409, "booking-limit-exceeded")
    assert refusal.json()["lines"] == [{"slot_id": one, "requested": 3, "limit": 2}]
    assert (await shop.take({one: 2})).status_code == 201


async def test_of_several_reasons_the_first_is_told_closed_then_limits_then_capacity(shop):
    limits = {"units_per_booking_max": 3, "units_per_customer_max": 2}
    slots = sorted(await shop.slots(4, capacity=1, **limits))
    (plain,) = await shop.slots(1, capacity=1)
    await shop.post(f"/v1/slots/{slots[3]}/close", if_match="*")
    for lines, expected in (
        ({plain: 2, slots[0]: 3, slots[1]: 4, slots[3]: 1}, "slot-closed"),
        ({plain: 2, slots[0]: 3, slots[1]: 4}, "booking-limit-exceeded"),
        ({plain: 2, slots[0]: 3}, "customer-limit-exceeded"),
        ({plain: 2, slots[0]: 2}, "capacity-exceeded"),
    ):
        refusal = await shop.take(lines)
        assert (refusal.status_code, slug(refusal)) == (409, expected)
