"""Changing what somebody has seen: by the version that was seen, or not at all."""

from uuid import uuid4

import pytest
from shop import ADA, BOB, Shop, an_evening

POLICY = {
    "hold_seconds": 600,
    "units_per_booking_max": 4,
    "units_per_customer_max": 8,
    "overbooking_units": 2,
}
NEEDS_A_VERSION = [
    ("/v1/resources/{}/policy", POLICY, "resource-not-found"),
    ("/v1/slots/{}/resize", {"capacity": 7}, "slot-not-found"),
    ("/v1/slots/{}/close", None, "slot-not-found"),
    ("/v1/slots/{}/reopen", {}, "slot-not-found"),
    ("/v1/bookings/{}/reschedule", {"lines": [{"slot_id": ADA, "units": 1}]}, "booking-not-found"),
]
VERSION_IS_OPTIONAL = [
    ("/v1/bookings/{}/extend", {"hold_seconds": 60}),
    ("/v1/bookings/{}/transfer", {"customer_id": BOB}),
]


@pytest.fixture
async def shop(one_shop: Shop) -> Shop:
    return one_shop


def slug_of(answer) -> str:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.json()["type"].removeprefix("/problems/")


async def entity_of(shop: Shop, path: str) -> str:
    """A resource, slot or held booking at version 1, as the path asks for."""
    if "/resources/" in path:
        return await shop.resource()
    slot = await shop.slot(5)
    return slot if "/slots/" in path else await shop.held(slot)


@pytest.mark.parametrize(("path", "body", "unknown"), NEEDS_A_VERSION)
async def test_without_a_version_nothing_is_changed_and_the_current_one_is_told(
    shop, path, body, unknown
):
    before = await shop.head()
    entity = path.format(await entity_of(shop, path))
    made = await shop.head()
    refused = await shop.post(entity, body, key=str(uuid4()))
    assert (refused.status_code, slug_of(refused)) == (428, "precondition-required")
    assert refused.headers["etag"] == '"1"'
    assert refused.headers["consistency-token"]
    assert before < made == await shop.head()


@pytest.mark.parametrize(("path", "body", "unknown"), NEEDS_A_VERSION)
async def test_what_is_not_there_is_told_before_the_version_is_asked_for(shop, path, body, unknown):
    for headers in ({}, {"if_match": '"1"'}, {"if_match": "*"}):
        missing = str(uuid4())
        answer = await shop.post(path.format(missing), body, key=str(uuid4()), **headers)
        assert (answer.status_code, slug_of(answer)) == (404, unknown)
        kind = unknown.removesuffix("-not-found")
        assert answer.json()[f"{kind}_id"] == missing
        assert answer.json()["detail"] == f"There is no {kind} {missing}."
        assert "lines" not in answer.json(), "the request has none"


@pytest.mark.parametrize("tag", ['"2"', 'W/"1"', '"2", "3"', '"one"'])
@pytest.mark.parametrize(("path", "body", "unknown"), NEEDS_A_VERSION)
async def test_another_version_changes_nothing(shop, path, body, unknown, tag):
    entity = path.format(await entity_of(shop, path))
    answer = await shop.post(entity, body, key=str(uuid4()), if_match=tag)
    assert (answer.status_code, slug_of(answer)) == (412, "version-mismatch")
    assert answer.json()["actual"] == 1
    assert answer.headers["etag"] == '"1"'


@pytest.mark.parametrize("tag", ["1", '"1', "", "*, *"])
@pytest.mark.parametrize(("path", "body", "unknown"), NEEDS_A_VERSION)
async def test_a_version_that_cannot_be_read_is_refused(shop, path, body, unknown, tag):
    answer = await shop.post(path.format(uuid4()), body, key=str(uuid4()), if_match=tag)
    assert (answer.status_code, slug_of(answer)) == (400, "invalid-header")


@pytest.mark.parametrize(("path", "body"), VERSION_IS_OPTIONAL)
async def test_where_a_version_is_optional_a_wrong_one_still_refuses(shop, path, body):
    booking = path.format(await shop.held(await shop.slot(5)))
    wrong = await shop.post(booking, body, key=str(uuid4()), if_match='"2"')
    assert (wrong.status_code, slug_of(wrong)) == (412, "version-mismatch")
    for headers in ({}, {"if_match": '"2"'}):
        done = await shop.post(booking, body, key=str(uuid4()), **headers)
        assert done.status_code == 200, done.text


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/bookings/{}/extend", {}),
        ("/v1/bookings/{}/reschedule", {"lines": [{"slot_id": ADA, "units": 1}]}),
    ],
)
async def test_what_would_do_more_when_done_twice_needs_a_key(shop, path, body):
    answer = await shop.post(path.format(uuid4()), body, if_match='"1"')
    assert (answer.status_code, slug_of(answer)) == (400, "idempotency-key-missing")


async def test_a_policy_is_changed_as_a_whole(shop):
    resource = await shop.resource()
    path = f"/v1/resources/{resource}/policy"
    for part in ({}, {"hold_seconds": 600}, POLICY | {"hold_seconds": None}):
        refused = await shop.post(path, part, if_match='"1"')
        assert (refused.status_code, slug_of(refused)) == (422, "invalid-request")
    changed = await shop.post(path, POLICY, if_match='"1"')
    assert changed.status_code == 200, changed.text
    assert changed.headers["etag"] == '"2"'
    assert changed.headers["cache-control"] == "no-store"
    assert changed.json() == {
        "resource_id": resource,
        "name": "Hall A",
        "time_zone": "Europe/Amsterdam",
        "version": 2,
        "position": await shop.head(),
        "policy": POLICY,
    }


async def test_a_slot_is_answered_as_it_is_after_the_change(shop):
    slot = await shop.slot(5)
    changed = await shop.post(
        f"/v1/slots/{slot}/resize", {"capacity": 3, "overbooking_units": 1}, if_match='"1"'
    )
    assert changed.headers["etag"] == '"2"'
    answer = changed.json()
    assert answer.pop("resource_id")
    assert answer == {
        "slot_id": slot,
        "starts_at": an_evening(5)["starts_at"],
        "ends_at": an_evening(5)["ends_at"],
        "state": "open",
        "capacity": 3,
        "overbooking_units": 1,
        "held": 0,
        "confirmed": 0,
        "remaining": 4,
        "version": 2,
        "position": await shop.head(),
    }
    closed = await shop.post(f"/v1/slots/{slot}/close", if_match='"2"')
    assert (closed.json()["state"], closed.headers["etag"]) == ("closed", '"3"')
    assert slug_of(await shop.take(slot)) == "slot-closed"
    reopened = await shop.post(f"/v1/slots/{slot}/reopen", {}, if_match="*")
    assert (reopened.json()["state"], reopened.headers["etag"]) == ("open", '"4"')
    assert (await shop.take(slot)).status_code == 201


async def test_already_so_is_an_answer_without_an_event_but_not_without_a_version(shop):
    slot = await shop.slot(5)
    before = await shop.head()
    for _ in range(2):
        again = await shop.post(f"/v1/slots/{slot}/reopen", if_match='"1"')
        assert (again.status_code, again.headers["etag"]) == (200, '"1"')
    assert await shop.head() == before
    assert (await shop.post(f"/v1/slots/{slot}/reopen")).status_code == 428


async def test_a_slot_does_not_become_smaller_than_what_is_taken_of_it(shop):
    slot = await shop.slot(5)
    await shop.held({slot: 2})
    await shop.booked({slot: 2})
    refused = await shop.post(f"/v1/slots/{slot}/resize", {"capacity": 3}, if_match='"3"')
    assert (refused.status_code, slug_of(refused)) == (409, "capacity-below-use")
    assert refused.json()["used"] == 4
    assert refused.json()["position"]


async def test_a_retry_whose_answer_was_lost_is_not_told_that_its_version_is_old(shop):
    slot = await shop.slot(5)
    key, path = str(uuid4()), f"/v1/slots/{slot}/close"
    first = await shop.post(path, key=key, if_match='"1"')
    again = await shop.post(path, key=key, if_match='"1"')
    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    for headers in ({}, {"if_match": '"2"'}):
        reused = await shop.post(path, key=key, **headers)
        assert (reused.status_code, slug_of(reused)) == (422, "idempotency-key-reused")


async def test_limits_name_what_was_asked_for_and_what_is_allowed(shop):
    slot = await shop.slot(9, units_per_booking_max=3, units_per_customer_max=4)
    many = await shop.take({slot: 4})
    assert (many.status_code, slug_of(many)) == (409, "booking-limit-exceeded")
    assert many.json()["lines"] == [{"slot_id": slot, "requested": 4, "limit": 3}]
    await shop.booked({slot: 3})
    more = await shop.take({slot: 2})
    assert (more.status_code, slug_of(more)) == (409, "customer-limit-exceeded")
    assert more.json()["lines"] == [{"slot_id": slot, "requested": 2, "used": 3, "limit": 4}]
    bobs = await shop.take({slot: 3}, customer=BOB)
    given = await shop.post(
        f"/v1/bookings/{bobs.json()['booking_id']}/transfer", {"customer_id": ADA}
    )
    assert (given.status_code, slug_of(given)) == (409, "customer-limit-exceeded")


async def test_a_booking_is_extended_moved_and_handed_on(shop):
    one, two = sorted(await shop.slots(2, capacity=5, hold_seconds=600))
    booking = await shop.held({one: 2}, hold_seconds=60)
    path = f"/v1/bookings/{booking}"
    longer = await shop.post(f"{path}/extend", key=str(uuid4()))
    assert longer.json()["version"] == 2
    assert longer.json()["lines"] == [
        {"slot_id": one, "units": 2, "remaining": None, "version": None}
    ]
    moved = await shop.post(
        f"{path}/reschedule",
        {"lines": [{"slot_id": two, "units": 1}, {"slot_id": one, "units": 2}]},
        key=str(uuid4()),
        if_match='"2"',
    )
    assert moved.headers["etag"] == '"3"'
    assert moved.json()["expires_at"] == longer.json()["expires_at"]
    assert moved.json()["lines"] == [
        {"slot_id": one, "units": 2, "remaining": None, "version": None},
        {"slot_id": two, "units": 1, "remaining": 4, "version": 2},
    ]
    handed = await shop.post(f"{path}/transfer", {"customer_id": BOB}, if_match='"3"')
    assert (handed.json()["customer_id"], handed.headers["etag"]) == (BOB, '"4"')
