"""Resize, close, reopen: a slot changes under the same rules as its units."""

import json

from shop import all_at_once
from test_limits import slug


async def change(shop, slot, verb, body=None, if_match="*"):
    return await shop.post(f"/v1/slots/{slot}/{verb}", body, if_match=if_match)


async def test_a_closed_slot_takes_no_new_units_and_keeps_its_promises(shop):
    slot = await shop.slot(5)
    holds = [await shop.held(slot) for _ in range(3)]
    closed = await change(shop, slot, "close", if_match='"4"')
    assert (closed.status_code, closed.json()["state"]) == (200, "closed")
    assert closed.headers["etag"] == '"5"'
    assert slug(await shop.take(slot)) == "slot-closed"
    for verb, hold in zip(("confirm", "release", "cancel"), holds, strict=True):
        assert (await shop.order(verb, hold)).status_code == 200
    opened = await change(shop, slot, "reopen")
    assert (opened.status_code, opened.json()["state"]) == (200, "open")
    assert (await shop.take({slot: 4})).status_code == 201
    types = [event["type"] for event in await shop.log()]
    assert types.count("SlotClosed") == types.count("SlotReopened") == 1
    await shop.assert_books_agree()


async def test_what_is_so_already_is_answered_without_an_event(shop):
    slot = await shop.slot(5, overbooking_units=1)
    before = await shop.head()
    for verb, body in (
        ("reopen", None),
        ("resize", {"capacity": 5}),
        ("resize", {"capacity": 5, "overbooking_units": 1}),
    ):
        answer = await change(shop, slot, verb, body, if_match='"1"')
        assert (answer.status_code, answer.json()["version"]) == (200, 1)
        assert answer.headers["etag"] == '"1"'
    assert await shop.head() == before
    assert (await change(shop, slot, "reopen", if_match='"2"')).status_code == 412


async def test_more_units_can_be_had_at_once_and_fewer_never_below_what_is_taken(shop):
    slot = await shop.slot(2, overbooking_units=1)
    await shop.booked({slot: 3})
    assert (await shop.take(slot)).status_code == 409
    larger = await change(shop, slot, "resize", {"capacity": 3})
    assert (larger.json()["capacity"], larger.json()["overbooking_units"]) == (3, 1)
    assert larger.json()["remaining"] == 1
    assert (await shop.take(slot)).status_code == 201
    refusal = await change(shop, slot, "resize", {"capacity": 3, "overbooking_units": 0})
    assert (refusal.status_code, slug(refusal)) == (409, "capacity-below-use")
    assert refusal.json()["used"] == 4
    exact = await change(shop, slot, "resize", {"capacity": 4, "overbooking_units": 0})
    assert (exact.status_code, exact.json()["remaining"]) == (200, 0)
    event = (await shop.log())[-1]
    assert (event["type"], json.loads(event["data"])) == ("SlotResized", {})
    assert json.loads(event["slots"])[0]["units"] == 0
    await shop.assert_books_agree()


async def test_of_many_who_change_what_they_saw_exactly_one_does(shop):
    slot = await shop.slot(5)
    answers = await all_at_once(
        [lambda n=n: change(shop, slot, "resize", {"capacity": 10 + n}, '"1"') for n in range(8)]
    )
    assert sorted(a.status_code for a in answers) == [200] + [412] * 7


async def test_a_race_of_shrinking_and_selling_never_oversells(shop):
    slot = await shop.slot(20)
    answers = await all_at_once(
        [lambda: shop.take({slot: 2})] * 15
        + [lambda n=n: change(shop, slot, "resize", {"capacity": n}) for n in (10, 5, 15, 8)]
    )
    assert {a.status_code for a in answers} <= {200, 201, 409}
    assert await shop.oversold(slot) == 0
    await shop.assert_books_agree()


async def test_a_repeated_change_under_its_key_is_answered_byte_for_byte(shop):
    slot = await shop.slot(5)
    path = f"/v1/slots/{slot}/resize"
    first = await shop.post(path, {"capacity": 9}, key="z-1", if_match='"1"')
    again = await shop.post(path, {"capacity": 9}, key="z-1", if_match='"1"')
    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers["idempotent-replayed"] == "true"
