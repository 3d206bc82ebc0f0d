"""A booking leaves each state once: the table of transitions, its repeats and its preconditions."""

from datetime import UTC, datetime, timedelta
from itertools import product
from uuid import uuid4

import pytest
from shop import ADA, all_at_once

from booking.model import TRANSITIONS

VERBS = {"confirm": "ConfirmBooking", "release": "ReleaseHold", "cancel": "CancelBooking"}
WAYS = {"held": [], "confirmed": ["confirm"], "released": ["release"], "cancelled": ["cancel"]}
COUNTED = {"held": (2, 0), "confirmed": (0, 2), "released": (0, 0), "cancelled": (0, 0)}


@pytest.fixture
def shop(one_shop):
    """Each claim looks at a slot and a booking of its own."""
    return one_shop


async def in_state(shop, state):
    slot = await shop.slot(5)
    booking = await shop.held({slot: 2})
    for verb in WAYS[state]:
        assert (await shop.order(verb, booking)).status_code == 200
    return booking


async def counted(shop, booking):
    """held, confirmed of the booking's slot."""
    return tuple(
        await shop.database.fetchrow(
            "SELECT held, confirmed FROM booking.slot JOIN booking.booking_line USING (slot_id) "
            "WHERE booking_id = $1",
            booking,
        )
    )


@pytest.mark.parametrize(("state", "verb"), list(product(WAYS, VERBS)))
async def test_each_command_from_each_state(shop, state, verb):
    transitions = TRANSITIONS[VERBS[verb]]
    booking = await in_state(shop, state)
    before = await shop.head()
    version = 1 + len(WAYS[state])
    answer = await shop.order(verb, booking)
    if state in transitions:
        after = transitions[state]
        assert (answer.status_code, answer.json()["state"]) == (200, after)
        assert answer.json()["version"] == version + 1
        assert answer.headers["etag"] == f'"{version + 1}"'
        assert await shop.head() == before + 1
    elif state in transitions.values():
        assert (answer.status_code, answer.json()["state"]) == (200, state)
        assert answer.json()["version"] == version
        assert await shop.head() == before
        after = state
    else:
        assert (answer.status_code, answer.json()["type"]) == (409, "/problems/wrong-state")
        problem = answer.json()
        assert (problem["booking_id"], problem["state"], problem["version"]) == (
            booking,
            state,
            version,
        )
        assert problem["allowed"] == list(transitions)
        assert await shop.head() == before
        after = state
    assert await counted(shop, booking) == COUNTED[after]
    await shop.assert_books_agree()


async def test_the_table_people_read_is_the_one_the_database_decides_by(shop):
    decided_by = {}
    for kind, before, after in await shop.database.fetch(
        "SELECT kind, before, after FROM booking.transition WHERE before IS NOT NULL"
    ):
        decided_by.setdefault(kind, {})[before] = after
    assert decided_by == TRANSITIONS


@pytest.mark.parametrize("verb", VERBS)
async def test_a_repeat_without_a_key_is_byte_equal_as_long_as_nothing_else_happened(shop, verb):
    booking = await in_state(shop, "held")
    first = await shop.order(verb, booking)
    again = await shop.order(verb, booking)
    assert again.content == first.content
    for name in ("etag", "consistency-token"):
        assert again.headers[name] == first.headers[name]


async def test_of_many_who_end_a_hold_at_once_exactly_one_does_and_its_units_return_once(shop):
    slot = await shop.slot(5)
    booking = await shop.held({slot: 2})
    verbs = ["confirm", "release", "cancel"] * 4
    answers = await all_at_once([lambda verb=verb: shop.order(verb, booking) for verb in verbs])
    assert {a.status_code for a in answers} <= {200, 409}
    await shop.assert_books_agree()
    state = await shop.database.fetchval(
        "SELECT state FROM booking.booking WHERE booking_id = $1", booking
    )
    assert await counted(shop, booking) == COUNTED[state]


async def test_a_hold_lasts_as_long_as_asked_or_as_its_policy_says(shop):
    slot = await shop.slot(9, hold_seconds=120)
    for asked, expected_s in ((None, 120), (60, 60), (120, 120)):
        answer = await shop.take(slot, mode="hold", hold_seconds=asked)
        expires_at = datetime.fromisoformat(answer.json()["expires_at"])
        now = await shop.database.fetchval("SELECT clock_timestamp()")
        assert (
            timedelta(seconds=expected_s - 10) < expires_at - now <= timedelta(seconds=expected_s)
        )
    refusal = await shop.take(slot, mode="hold", hold_seconds=121)
    assert (refusal.status_code, refusal.json()["type"]) == (409, "/problems/hold-too-long")
    assert refusal.json()["limit"] == 120


async def test_a_booking_made_at_once_is_one_event_and_never_expires(shop):
    slot = await shop.slot(3)
    answer = await shop.take({slot: 2})
    assert answer.headers["location"] == f"/v1/bookings/{answer.json()['booking_id']}"
    assert answer.json()["expires_at"] is None
    assert [event["type"] for event in await shop.log()][-1] == "BookingConfirmed"
    assert answer.json()["position"] == await shop.head()


@pytest.mark.parametrize("if_match", ['"1"', '"7", "1"', "*", '"1" , W/"9"'])
async def test_a_precondition_that_names_the_current_version_is_met(shop, if_match):
    booking = await in_state(shop, "held")
    assert (await shop.order("confirm", booking, if_match=if_match)).status_code == 200


@pytest.mark.parametrize("if_match", ['"2"', 'W/"1"', '"one"', '"01"'])
async def test_a_precondition_that_does_not_hold_is_refused_with_the_current_version(
    shop, if_match
):
    booking = await in_state(shop, "held")
    answer = await shop.order("confirm", booking, if_match=if_match)
    assert (answer.status_code, answer.json()["type"]) == (412, "/problems/version-mismatch")
    assert answer.json()["actual"] == 1
    assert answer.headers["etag"] == '"1"'


@pytest.mark.parametrize("if_match", ["1", '"1', "", '*, "1"'])
async def test_a_malformed_precondition_is_refused(shop, if_match):
    booking = await in_state(shop, "held")
    answer = await shop.order("confirm", booking, if_match=if_match)
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/invalid-header")


async def test_what_does_not_exist_is_not_found_before_anything_else_is_judged(shop):
    answer = await shop.order("confirm", ADA, if_match='"9"')
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/booking-not-found")
    missing = str(uuid4())
    answer = await shop.take({missing: 1})
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/slot-not-found")
    assert answer.json()["lines"] == [{"slot_id": missing, "requested": 1}]
    assert "slot_id" not in answer.json(), "it is about lines"
    answer = await shop.post(
        f"/v1/resources/{ADA}/slots",
        {"slots": []}
        | {
            "slots": [
                {
                    "starts_at": "2030-01-01T19:00:00Z",
                    "ends_at": "2030-01-01T22:00:00Z",
                    "capacity": 1,
                }
            ]
        },
        key=str(uuid4()),
    )
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/resource-not-found")


async def test_an_id_that_is_taken_is_refused(shop):
    slot = await shop.slot(9)
    mine = str(uuid4())
    assert (await shop.take(slot, booking_id=mine)).status_code == 201
    again = await shop.take(slot, booking_id=mine)
    assert (again.status_code, again.json()["type"]) == (409, "/problems/already-exists")
    assert again.json()["booking_id"] == mine


async def test_a_slot_that_has_ended_takes_no_new_units_but_its_holds_can_be_confirmed(shop):
    slot = await shop.slot(3)
    booking = await shop.held(slot)
    past = datetime.now(UTC) - timedelta(days=1)
    await shop.database.execute(
        "UPDATE booking.slot SET starts_at = $1::timestamptz - interval '1 hour', ends_at = $1",
        past,
    )
    refusal = await shop.take(slot)
    assert (refusal.status_code, refusal.json()["type"]) == (409, "/problems/slot-closed")
    assert (await shop.order("confirm", booking)).status_code == 200


async def test_every_answer_says_where_the_log_stood_and_is_not_cached(shop):
    slot = await shop.slot(1)
    for answer in (await shop.take(slot), await shop.take(slot)):
        assert answer.headers["consistency-token"]
        assert answer.headers["cache-control"] == "no-store"
        assert answer.json()["position"] == await shop.head()
    assert answer.status_code == 409
    assert answer.json()["as_of"].endswith("Z")
