"""A hold past its time owns its units until somebody needs them, and never makes a slot look sold out."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from eventually import eventually
from shop import ADA, BOB, all_at_once, open_shop
from test_the_batcher import open_desk

from booking.app import ROLE
from booking.batcher import BATCH_SIZE_MAX, ROUNDS_MAX
from booking.commands import Decision
from booking.edge.database import open_pool
from booking.faults import NotDecided
from booking.sweeper import Sweeper, Swept


@pytest.fixture
def shop(unswept_shop):
    """Nobody expires holds here but those who need their units."""
    return unswept_shop


async def past_its_time(shop, lines, *, minutes=60, **members):
    """A hold that should have ended so many minutes ago."""
    booking = await shop.held(lines, **members)
    await shop.database.execute(
        "UPDATE booking.booking SET expires_at = clock_timestamp() - make_interval(mins => $2) "
        "WHERE booking_id = $1",
        booking,
        minutes,
    )
    return booking


async def state(shop, booking):
    return await shop.database.fetchval(
        "SELECT state FROM booking.booking WHERE booking_id = $1", booking
    )


async def expired(shop):
    """Bookings that have expired, in the order of their events."""
    return [str(e["booking_id"]) for e in await shop.log() if e["type"] == "HoldExpired"]


async def test_the_next_booking_gets_the_units_of_the_oldest_holds_and_of_no_more_than_it_needs(
    shop,
):
    slot = await shop.slot(10)
    holds = [await past_its_time(shop, {slot: 2}, minutes=90 - n) for n in range(5)]
    before = await shop.head()
    answer = await shop.take({slot: 3})
    assert answer.status_code == 201
    assert await expired(shop) == holds[:2]
    assert answer.json()["position"] == before + 3 == await shop.head()
    assert answer.json()["lines"][0]["remaining"] == 1
    await shop.assert_books_agree()


async def test_of_many_at_once_all_are_served_and_still_no_hold_too_many_expires(shop):
    slot = await shop.slot(20)
    holds = [await past_its_time(shop, {slot: 2}, minutes=90 - n) for n in range(10)]
    answers = await all_at_once([lambda: shop.take({slot: 3})] * 6)
    assert [a.status_code for a in answers] == [201] * 6
    assert await expired(shop) == holds[:9]
    await shop.assert_books_agree()


async def test_one_large_hold_serves_many_small_bookings(shop):
    slot = await shop.slot(20)
    first = await past_its_time(shop, {slot: 10}, minutes=90)
    await past_its_time(shop, {slot: 10}, minutes=80)
    answers = await all_at_once([lambda: shop.take(slot)] * 10)
    assert [a.status_code for a in answers] == [201] * 10
    assert await expired(shop) == [first]


async def test_a_hold_that_is_not_past_its_time_keeps_its_units(shop):
    slot = await shop.slot(1)
    await shop.held(slot)
    refusal = await shop.take(slot)
    assert (refusal.status_code, refusal.json()["lines"][0]["remaining"]) == (409, 0)
    assert await expired(shop) == []


async def test_what_even_expired_holds_cannot_serve_is_refused_with_what_is_left_after_them(shop):
    slot = await shop.slot(4)
    await past_its_time(shop, {slot: 3})
    refusal = await shop.take({slot: 5})
    assert refusal.status_code == 409
    assert refusal.json()["lines"][0]["remaining"] == 4
    assert (await shop.take({slot: 4})).status_code == 201


async def test_a_hold_with_a_line_on_another_slot_gives_that_back_too(shop):
    one, two, three = await shop.slots(3, capacity=1)
    hold = await past_its_time(shop, {one: 1, two: 1})
    other = await past_its_time(shop, {three: 1})
    answer = await shop.take({one: 1, three: 1})
    assert answer.status_code == 201
    assert set(await expired(shop)) == {hold, other}
    assert (await shop.take(two)).status_code == 201
    await shop.assert_books_agree()


async def test_a_stay_over_many_sold_out_nights_needs_one_round(shop):
    nights = await shop.slots(8, capacity=1)
    for night in nights:
        await past_its_time(shop, night)
    assert (await shop.take(dict.fromkeys(nights, 1))).status_code == 201
    await shop.assert_books_agree()


async def test_no_hold_expires_for_a_stay_that_fails_on_another_night(shop):
    one, two = await shop.slots(2, capacity=1)
    await past_its_time(shop, one)
    await shop.booked(two)
    assert (await shop.take({one: 1, two: 1})).status_code == 409
    assert await expired(shop) == []


async def test_a_late_confirm_of_a_hold_nobody_needed_succeeds(shop):
    hold = await past_its_time(shop, await shop.slot(1))
    answer = await shop.order("confirm", hold)
    assert (answer.status_code, answer.json()["state"]) == (200, "confirmed")
    assert await expired(shop) == []


async def test_a_late_confirm_of_a_hold_that_was_taken_back_is_told_so(shop):
    slot = await shop.slot(1)
    hold = await past_its_time(shop, slot)
    await shop.booked(slot)
    answer = await shop.order("confirm", hold)
    assert (answer.status_code, answer.json()["state"]) == (409, "expired")


async def test_a_late_confirm_racing_for_the_units_leaves_exactly_one_owner(shop, database_url):
    async with open_shop(database_url, sweeping=False) as other:
        for n in range(12):
            slot = await shop.slot(1)
            hold = await past_its_time(shop, slot)
            orders = [lambda h=hold: shop.order("confirm", h), lambda s=slot: other.take(s)]
            answers = await all_at_once(orders if n % 2 else orders[::-1])
            confirm, take = answers if n % 2 else answers[::-1]
            assert (confirm.status_code, take.status_code) in {(200, 409), (409, 201)}
            assert await state(shop, hold) == (
                "confirmed" if take.status_code == 409 else "expired"
            )
        await shop.assert_books_agree()


async def test_a_hold_that_is_extended_in_time_is_not_taken_back(shop):
    slot = await shop.slot(1)
    hold = await past_its_time(shop, slot)
    extended = await shop.post(f"/v1/bookings/{hold}/extend", {"hold_seconds": 60}, key="e-1")
    assert extended.status_code == 200
    assert (await shop.take(slot)).status_code == 409


async def test_a_slot_can_be_made_smaller_when_only_expired_holds_are_in_the_way(shop):
    slot = await shop.slot(10)
    await shop.booked({slot: 2})
    old, young = [await past_its_time(shop, {slot: 4}, minutes=m) for m in (90, 80)]
    version = {"if_match": '"4"'}
    answer = await shop.post(f"/v1/slots/{slot}/resize", {"capacity": 7}, **version)
    assert (answer.status_code, answer.json().get("actual")) == (200, None), answer.text
    assert await expired(shop) == [old]
    refusal = await shop.post(f"/v1/slots/{slot}/resize", {"capacity": 1}, if_match="*")
    assert (refusal.status_code, refusal.json()["type"]) == (409, "/problems/capacity-below-use")
    assert refusal.json()["used"] == 2
    assert await expired(shop) == [old, young]
    await shop.assert_books_agree()


async def test_a_resize_is_not_outdated_by_more_expired_holds_than_a_batch_has_commands(shop):
    many = BATCH_SIZE_MAX + 44
    slot = await shop.slot(many)
    await asyncio.gather(*(shop.held(slot) for _ in range(many)))
    await shop.database.execute(
        "UPDATE booking.booking SET expires_at = clock_timestamp() - interval '1 hour'"
    )
    seen = f'"{1 + many}"'
    answer = await shop.post(f"/v1/slots/{slot}/resize", {"capacity": 0}, if_match=seen)
    assert (answer.status_code, answer.json().get("version")) == (200, 2 + 2 * many), answer.text
    assert len(await expired(shop)) == many


async def test_of_a_customer_at_the_limit_the_own_expired_holds_give_way_and_no_others(shop):
    slot = await shop.slot(10, units_per_customer_max=3)
    mine = await past_its_time(shop, {slot: 2}, customer=ADA)
    theirs = await past_its_time(shop, {slot: 2}, customer=BOB)
    assert (await shop.take({slot: 3}, customer=ADA)).status_code == 201
    assert (await state(shop, mine), await state(shop, theirs)) == ("expired", "held")
    refusal = await shop.take(slot, customer=ADA)
    assert (refusal.status_code, refusal.json()["type"]) == (
        409,
        "/problems/customer-limit-exceeded",
    )
    await shop.assert_books_agree()


async def test_moving_an_expired_hold_never_takes_its_own_units_back(shop):
    one, two = await shop.slots(2, capacity=2)
    hold = await past_its_time(shop, {one: 1, two: 1})
    other = await past_its_time(shop, two, minutes=10)
    body = {"lines": [{"slot_id": two, "units": 2}]}
    moved = await shop.post(f"/v1/bookings/{hold}/reschedule", body, key="m-1", if_match='"1"')
    assert (moved.status_code, moved.json()["state"]) == (200, "held")
    assert await expired(shop) == [other]
    await shop.assert_books_agree()


async def test_whoever_came_later_does_not_take_what_an_earlier_one_waits_for(shop, database_url):
    async with open_desk(database_url) as desk:
        slot = await shop.slot(3)
        await past_its_time(shop, {slot: 2})
        desk.guard.door.clear()
        ahead = desk.book(await shop.slot(1))
        await eventually(lambda: desk.guard.batches)
        large, small = desk.book(slot, units=3), desk.book(slot)
        desk.guard.door.set()
        await ahead
        assert (await large).outcome == "accepted"
        assert (await small).outcome == "capacity-exceeded"
        assert desk.guard.sizes == [1, 2, 3]


async def test_a_hold_that_others_have_commands_about_stands_in_a_batch_once(shop, database_url):
    async with open_desk(database_url) as desk:
        slot = await shop.slot(1)
        hold = UUID(await past_its_time(shop, slot))
        desk.guard.door.clear()
        ahead = desk.book(await shop.slot(1))
        await eventually(lambda: desk.guard.batches)
        wants = desk.book(slot)
        endings = [desk.order(kind, hold) for kind in ("ConfirmBooking", "ReleaseHold")]
        desk.guard.door.set()
        answers = [(await answer).outcome for answer in (ahead, wants, *endings)]
        assert answers.count("accepted") == 2  # whoever was ahead, and one owner of the unit
        for batch in desk.guard.batches:
            about = [command.booking_id for command in batch]
            assert len(set(about)) == len(about)
        await shop.assert_books_agree()


async def test_equal_commands_that_wait_for_a_hold_to_expire_are_still_decided_once(
    shop, database_url
):
    async with open_desk(database_url) as desk:
        slot = await shop.slot(1)
        hold = await past_its_time(shop, slot)
        answers = await asyncio.gather(*(desk.book(slot, key="k-1") for _ in range(5)))
        assert [a.outcome for a in answers] == ["accepted"] + ["replayed"] * 4
        assert len({a.body for a in answers}) == 1
        assert await expired(shop) == [hold]


async def test_a_batcher_that_drains_still_decides_who_waits_for_a_hold_to_expire(
    shop, database_url
):
    async with open_desk(database_url) as desk:
        slot = await shop.slot(1)
        await past_its_time(shop, slot)
        decision = desk.book(slot)
        await desk.batcher.stop()
        assert decision.result().outcome == "accepted"
        assert desk.batcher.depth == 0


async def test_holds_that_stay_in_the_way_are_given_up_after_three_rounds(shop, database_url):
    """A guard that always sees another hold: the command ends as not decided, nothing has happened."""
    async with open_desk(database_url) as desk:
        rounds = []

        async def always_another(connection, commands):
            rounds.append([command.kind for command in commands])
            body = json.dumps({"expired": [str(uuid4())]})
            return [
                Decision(n, "again", 503, body, None, None, uuid4(), 1, datetime.now(UTC))
                for n, command in enumerate(commands)
                if command.kind == "BookNow"
            ]

        desk.batcher._take = always_another
        with pytest.raises(NotDecided):
            await desk.book(await shop.slot(1))
        assert rounds == [["BookNow"]] + [["ExpireHold", "BookNow"]] * ROUNDS_MAX


@pytest.fixture
async def pool(database_url):
    pool = await open_pool(
        database_url, role=ROLE, name="sweeper", size_max=1, statement_timeout_ms=4000
    )
    yield pool
    await pool.close()


async def test_the_sweeper_expires_what_is_past_its_time_page_by_page_and_says_what_it_did(
    shop, database_url, pool
):
    async with open_desk(database_url) as desk:
        sweeper = Sweeper(pool, desk.batcher, page_size=3)
        assert await sweeper.run_once() == Swept(found=0, expired=0)
        slot = await shop.slot(20)
        holds = [await past_its_time(shop, {slot: 1}, minutes=90 - n) for n in range(7)]
        keeps = await shop.held(slot)
        assert await sweeper.run_once() == Swept(found=7, expired=7)
        assert await expired(shop) == holds
        assert await state(shop, keeps) == "held"
        assert await sweeper.run_once() == Swept(found=0, expired=0)
        await shop.assert_books_agree()


async def test_two_sweepers_at_once_expire_each_hold_once(shop, database_url, pool):
    async with open_desk(database_url) as one, open_desk(database_url) as two:
        slot = await shop.slot(50)
        holds = [await past_its_time(shop, {slot: 1}, minutes=90 - n) for n in range(30)]
        swept = await asyncio.gather(
            *(Sweeper(pool, desk.batcher, page_size=8).run_once() for desk in (one, two))
        )
        assert all(isinstance(done, Swept) for done in swept)
        assert sorted(await expired(shop)) == sorted(holds)
        await shop.assert_books_agree()


async def test_a_running_api_sweeps_by_itself_and_the_system_is_the_actor(database_url, database):
    async with open_shop(database_url) as swept_shop:
        slot = await swept_shop.slot(1)
        hold = await past_its_time(swept_shop, slot)
        await eventually(lambda: expired(swept_shop))
        (event,) = [e for e in await swept_shop.log() if e["type"] == "HoldExpired"]
        assert (str(event["booking_id"]), event["actor"]) == (hold, "system")
        data = json.loads(event["data"])
        assert data == {"state": "expired", "version": 2, "before": "held"}
        assert (await swept_shop.order("confirm", hold)).json()["state"] == "expired"
        assert (
            await database.fetchval(
                "SELECT count(*) FROM booking.command_record WHERE command = 'ExpireHold'"
            )
            == 0
        )


async def test_a_hold_ends_by_itself_after_the_time_it_was_given(shop):
    slot = await shop.slot(1)
    asked = datetime.now(UTC)
    await shop.held(slot, hold_seconds=1)

    async def free_again():
        return (await shop.take(slot)).status_code == 201

    await eventually(free_again)
    assert datetime.now(UTC) - asked >= timedelta(seconds=1)
    assert UUID((await expired(shop))[0])
