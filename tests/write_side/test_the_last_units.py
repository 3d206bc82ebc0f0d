"""The race for the last units: with the guard nobody oversells, without it everybody does."""

import random
from uuid import uuid4

from shop import all_at_once, open_shop

CHANCE = random.Random(7)  # noqa: S311 - a story that can be told again
PARTIES = [CHANCE.randint(1, 8) for _ in range(50)]
"""Fifty buyers who want about twice what there is."""


async def race(shop, capacity=100):
    slot = await shop.slot(capacity)
    answers = await all_at_once(
        [lambda units=units: shop.take({slot: units}, customer=str(uuid4())) for units in PARTIES]
    )
    return slot, answers


def sold(answers):
    return sum(line["units"] for a in answers if a.status_code == 201 for line in a.json()["lines"])


async def assert_every_refusal_was_honest(shop, answers):
    """At the version it names, the slot had what it says, and that was too little."""
    states = await shop.slot_states()
    for answer in answers:
        if answer.status_code == 409:
            assert answer.json()["type"] == "/problems/capacity-exceeded"
            for line in answer.json()["lines"]:
                assert states[line["slot_id"], line["version"]]["remaining"] == line["remaining"]
                assert line["remaining"] < line["requested"]


async def test_of_fifty_buyers_racing_for_a_hundred_units_nobody_oversells_and_every_no_is_honest(
    shop,
):
    slot, answers = await race(shop)
    assert {a.status_code for a in answers} == {201, 409}
    assert sold(answers) <= 100
    assert await shop.oversold(slot) == 0
    # Nobody was turned away who would have fitted into what was left at the end.
    left = 100 - sold(answers)
    assert all(
        line["requested"] > left
        for a in answers
        if a.status_code == 409
        for line in a.json()["lines"]
    )
    await assert_every_refusal_was_honest(shop, answers)
    await shop.assert_books_agree()


async def test_without_the_guard_and_the_last_line_the_same_race_oversells(unguarded_shop):
    """If this fails, the test above proves nothing."""
    slot, answers = await race(unguarded_shop)
    assert {a.status_code for a in answers} == {201}
    assert await unguarded_shop.oversold(slot) == sum(PARTIES) - 100 > 0
    await unguarded_shop.assert_books_agree()


async def test_without_the_guard_the_last_line_still_stops_it_with_a_fault_that_names_the_rule(
    shop_on_its_last_line,
):
    slot, answers = await race(shop_on_its_last_line)
    assert {a.status_code for a in answers} == {201, 500}
    faults = {a.json()["constraint"] for a in answers if a.status_code == 500}
    assert faults == {"slot_never_oversold"}
    assert await shop_on_its_last_line.oversold(slot) == 0
    await shop_on_its_last_line.assert_books_agree()


async def test_each_success_raises_the_version_by_one(shop):
    _, answers = await race(shop)
    versions = sorted(a.json()["lines"][0]["version"] for a in answers if a.status_code == 201)
    assert versions == list(range(2, len(versions) + 2))
    row = await shop.database.fetchrow("SELECT version FROM booking.slot")
    assert row["version"] == versions[-1]


async def test_remaining_counts_down_by_what_each_buyer_took(shop):
    _, answers = await race(shop)
    left = 100
    for answer in sorted(
        (a.json() for a in answers if a.status_code == 201), key=lambda body: body["position"]
    ):
        left -= answer["lines"][0]["units"]
        assert answer["lines"][0]["remaining"] == left


async def test_a_stay_gets_all_its_nights_or_none(shop):
    nights = await shop.slots(7, capacity=6)
    stays = []
    for _ in range(40):
        first = CHANCE.randrange(6)
        stay = nights[first : first + CHANCE.randint(2, 4)]
        CHANCE.shuffle(stay)
        stays.append({night: CHANCE.randint(1, 3) for night in stay})
    answers = await all_at_once([lambda stay=stay: shop.take(stay) for stay in stays])
    assert {a.status_code for a in answers} == {201, 409}
    kept = {str(a.json()["booking_id"]): a.json() for a in answers if a.status_code == 201}
    for stay, answer in zip(stays, answers, strict=True):
        if answer.status_code == 201:
            assert {line["slot_id"]: line["units"] for line in answer.json()["lines"]} == stay
    assert await shop.database.fetchval("SELECT count(*) FROM booking.booking") == len(kept)
    await assert_every_refusal_was_honest(shop, answers)
    await shop.assert_books_agree()


async def test_two_processes_selling_the_same_nights_neither_oversell_nor_deadlock(
    shop, database_url
):
    async with open_shop(database_url) as other:
        nights = await shop.slots(5, capacity=20)
        stays = [dict.fromkeys(CHANCE.sample(nights, 3), 1) for _ in range(40)]
        orders = [lambda who=w, stay=s: who.take(stay) for s in stays for w in (shop, other)]
        answers = await all_at_once(orders)
        assert {a.status_code for a in answers} == {201, 409}
        await assert_every_refusal_was_honest(shop, answers)
        for night in nights:
            assert await shop.oversold(night) == 0
        await shop.assert_books_agree()


async def test_a_smaller_party_that_still_fits_is_not_refused_with_the_larger_one(shop):
    slot = await shop.slot(3)
    assert (await shop.take({slot: 4})).status_code == 409
    assert (await shop.take({slot: 3})).status_code == 201


async def test_returned_units_can_be_taken_again(shop):
    slot = await shop.slot(1)
    held = await shop.held(slot)
    assert (await shop.take(slot)).status_code == 409
    await shop.order("release", held)
    assert (await shop.take(slot)).status_code == 201
    await shop.assert_books_agree()


async def test_what_may_be_overbooked_is_sold_and_not_one_unit_more(shop):
    slot = await shop.slot(2, overbooking_units=1)
    answers = await all_at_once([lambda: shop.take(slot)] * 5)
    assert sorted(a.status_code for a in answers) == [201, 201, 201, 409, 409]
    assert await shop.oversold(slot) == 0
