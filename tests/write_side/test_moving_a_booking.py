"""Reschedule, transfer, extend: a booking is moved as a whole or stays as it is."""

import json
import random
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import cycle
from uuid import uuid4

import pytest
from shop import ADA, BOB, all_at_once, open_shop
from test_limits import move, slug, transfer

CHANCE = random.Random(11)  # noqa: S311 - a story that can be told again


async def extend(shop, booking, seconds=None, **headers):
    body = {} if seconds is None else {"hold_seconds": seconds}
    return await shop.post(f"/v1/bookings/{booking}/extend", body, key=str(uuid4()), **headers)


async def lines_of(shop, booking):
    rows = await shop.database.fetch(
        "SELECT slot_id, units FROM booking.booking_line WHERE booking_id = $1", booking
    )
    return {str(slot): units for slot, units in rows}


def a_stay(nights):
    """Two nights in any order, one or two units of each."""
    return {night: CHANCE.randint(1, 2) for night in CHANCE.sample(nights, 2)}


async def versions(shop, *slots):
    rows = await shop.database.fetch("SELECT slot_id, version FROM booking.slot")
    known = {str(slot): version for slot, version in rows}
    return [known[slot] for slot in slots]


@pytest.mark.parametrize("kind", ["held", "booked"])
async def test_only_the_difference_moves_and_each_slot_is_touched_once(shop, kind):
    less, same, gone, new = sorted(await shop.slots(4, capacity=5))
    booking = await getattr(shop, kind)({less: 3, same: 2, gone: 1})
    before = await versions(shop, less, same, gone, new)
    answer = await move(shop, booking, {less: 1, same: 2, new: 4})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["state"], body["version"]) == ("held" if kind == "held" else "confirmed", 2)
    assert body["lines"] == [
        {"slot_id": less, "units": 1, "remaining": 4, "version": 3},
        {"slot_id": same, "units": 2, "remaining": None, "version": None},
        {"slot_id": new, "units": 4, "remaining": 1, "version": 2},
    ]
    after = await versions(shop, less, same, gone, new)
    assert [now - then for then, now in zip(before, after, strict=True)] == [1, 0, 1, 1]
    event = (await shop.log())[-1]
    assert event["type"] == "BookingRescheduled"
    assert [(c["slot_id"], c["units"]) for c in json.loads(event["slots"])] == [
        (less, -2), (gone, -1), (new, 4),
    ]  # fmt: skip
    data = json.loads(event["data"])
    assert {line["slot_id"]: line["units"] for line in data["lines_before"]} == {
        less: 3, same: 2, gone: 1,
    }  # fmt: skip
    await shop.assert_books_agree()


async def test_a_move_that_is_refused_leaves_everything_as_it_was(shop):
    mine, free, full = await shop.slots(3, capacity=2)
    booking = await shop.held({mine: 2})
    await shop.booked({full: 2})
    before = await shop.head()
    for lines, expected in (
        ({free: 1, full: 1}, "capacity-exceeded"),
        ({free: 1, str(uuid4()): 1}, "slot-not-found"),
        ({mine: 1, free: 3}, "capacity-exceeded"),
    ):
        refusal = await move(shop, booking, lines)
        assert slug(refusal) == expected
        assert await lines_of(shop, booking) == {mine: 2}
    assert await shop.head() == before
    await shop.assert_books_agree()


async def test_a_refused_move_says_the_total_or_the_difference_whichever_the_rule_counts(shop):
    policy = {"units_per_booking_max": 5, "units_per_customer_max": 4}
    mine = await shop.slot(4, **policy)
    ample = await shop.slot(9, **policy)
    booking = await shop.held({mine: 2, ample: 2})
    await shop.held({mine: 1}, customer=BOB)
    for lines, expected, said in (
        ({ample: 6}, "booking-limit-exceeded", {"requested": 6, "limit": 5}),
        ({ample: 5}, "customer-limit-exceeded", {"requested": 3, "used": 2, "limit": 4}),
        ({mine: 4}, "capacity-exceeded", {"requested": 2, "remaining": 1, "version": 3}),
    ):
        refusal = await move(shop, booking, lines)
        assert slug(refusal) == expected
        assert refusal.json()["lines"] == [{"slot_id": next(iter(lines)), **said}]
    await shop.post(f"/v1/slots/{mine}/close", if_match="*")
    refusal = await move(shop, booking, {mine: 3})
    assert slug(refusal) == "slot-closed"
    assert refusal.json()["lines"] == [{"slot_id": mine, "requested": 3, "version": 4}]


async def test_units_a_booking_keeps_are_its_own_even_when_the_slot_is_sold_out_or_closed(shop):
    mine, other = await shop.slots(2, capacity=2)
    booking = await shop.booked({mine: 2})
    await shop.post(f"/v1/slots/{mine}/close", if_match="*")
    assert (await move(shop, booking, {mine: 1, other: 1})).status_code == 200
    refusal = await move(shop, booking, {mine: 2})
    assert slug(refusal) == "slot-closed"
    assert await lines_of(shop, booking) == {mine: 1, other: 1}


async def test_moving_to_the_same_lines_is_no_event(shop):
    slot = await shop.slot(5)
    booking = await shop.held({slot: 2})
    before = await shop.head()
    answer = await move(shop, booking, {slot: 2})
    assert (answer.status_code, answer.json()["version"]) == (200, 1)
    assert await shop.head() == before


async def test_a_booking_that_has_ended_is_not_moved(shop):
    slot = await shop.slot(5)
    booking = await shop.held(slot)
    await shop.order("release", booking)
    for answer in (
        await move(shop, booking, {slot: 2}),
        await transfer(shop, booking, BOB),
        await extend(shop, booking),
    ):
        assert (answer.status_code, slug(answer)) == (409, "wrong-state")


async def test_bookings_moved_about_at_two_processes_at_once_lose_and_gain_nothing(
    shop, database_url
):
    async with open_shop(database_url) as other:
        nights = await shop.slots(5, capacity=8)
        bookings = [await shop.booked({CHANCE.choice(nights): 1}) for _ in range(20)]
        who, statuses = cycle((shop, other)), set()
        for _ in range(3):
            orders = [partial(move, next(who), booking, a_stay(nights)) for booking in bookings]
            answers = await all_at_once(orders)
            statuses |= {a.status_code for a in answers}
        assert statuses == {200, 409}  # there was something to move, and something in the way
        for night in nights:
            assert await shop.oversold(night) == 0
        await shop.assert_books_agree()


async def test_a_transfer_changes_whose_it_is_and_touches_no_slot(shop):
    slot = await shop.slot(1)
    booking = await shop.booked(slot)
    before = await versions(shop, slot)
    answer = await transfer(shop, booking, BOB)
    assert (answer.status_code, answer.json()["customer_id"]) == (200, BOB)
    assert answer.json()["lines"] == [
        {"slot_id": slot, "units": 1, "remaining": None, "version": None}
    ]
    assert await versions(shop, slot) == before
    event = (await shop.log())[-1]
    assert (event["type"], json.loads(event["slots"])) == ("BookingTransferred", [])
    assert json.loads(event["data"]) == {
        "version": 2,
        "customer_id": BOB,
        "customer_id_before": ADA,
    }
    head = await shop.head()
    again = await transfer(shop, booking, BOB)
    assert (again.status_code, again.content) == (200, answer.content)
    assert await shop.head() == head


async def test_extending_never_shortens_a_hold(shop):
    slot = await shop.slot(5, hold_seconds=600)
    booking = await shop.held(slot, hold_seconds=60)
    until = [datetime.now(UTC) + timedelta(seconds=60)]
    for seconds in (300, 10, None):
        answer = await extend(shop, booking, seconds)
        assert (answer.status_code, answer.json()["state"]) == (200, "held")
        until.append(datetime.fromisoformat(answer.json()["expires_at"]))
    asked, longer, not_shorter, longest = until
    assert timedelta(seconds=230) < longer - asked < timedelta(seconds=250)
    assert not_shorter == longer
    assert longest - longer > timedelta(seconds=290)
    assert [event["type"] for event in await shop.log()][-3:] == ["HoldExtended"] * 3
    await shop.assert_books_agree()


async def test_extending_keeps_to_the_policy_and_to_holds(shop):
    slot = await shop.slot(5, hold_seconds=600)
    booking = await shop.held(slot)
    refusal = await extend(shop, booking, 601)
    assert (refusal.status_code, slug(refusal), refusal.json()["limit"]) == (
        409, "hold-too-long", 600,
    )  # fmt: skip
    await shop.order("confirm", booking)
    assert slug(await extend(shop, booking)) == "wrong-state"
