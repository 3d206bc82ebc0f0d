"""What any command changes is what a reader with its token sees."""

from uuid import uuid4

import pytest
from eventually import eventually
from running import Up, running

ADA, BOB = str(uuid4()), str(uuid4())
POLICY = {
    "hold_seconds": 600,
    "units_per_booking_max": 4,
    "units_per_customer_max": 6,
    "overbooking_units": 1,
}


@pytest.fixture(scope="module")
async def up(tmp_path_factory):
    """One system for all of it."""
    async with running(tmp_path_factory.mktemp("up") / "data") as up:
        yield up


class Guest:
    """Sends commands, and reads with the token of the last one."""

    def __init__(self, client):
        self.client = client
        self.token = ""

    async def post(self, path, body=None, **headers):
        answer = await self.client.post(
            path,
            **({} if body is None else {"json": body}),
            headers={"idempotency-key": str(uuid4()), **headers},
        )
        assert answer.is_success, answer.text
        self.token = answer.headers["consistency-token"]
        return answer.json()

    async def get(self, path):
        answer = await self.client.get(path, headers={"consistency-token": self.token})
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
async def guest(up: Up):
    async with up.client() as client:
        yield Guest(client)


async def two_slots(guest):
    resource = (await guest.post("/v1/resources", {"name": "Hall", "time_zone": "UTC"}))[
        "resource_id"
    ]
    evening = {"starts_at": "2030-01-01T19:00:00Z", "ends_at": "2030-01-01T22:00:00Z"}
    opened = await guest.post(
        f"/v1/resources/{resource}/slots", {"slots": [evening | {"capacity": 5}] * 2}
    )
    return resource, [slot["slot_id"] for slot in opened["slots"]]


async def held(guest, slot, **members):
    lines = [{"slot_id": slot, "units": 2}]
    body = {"mode": "hold", "customer_id": ADA, "lines": lines, **members}
    return (await guest.post("/v1/bookings", body))["booking_id"]


async def test_the_back_office_is_seen(guest):
    resource, (slot, _) = await two_slots(guest)
    await guest.post(f"/v1/resources/{resource}/policy", POLICY, **{"if-match": '"1"'})
    assert (await guest.get(f"/v1/resources/{resource}"))["policy"] == POLICY
    for verb, body, seen in (
        ("resize", {"capacity": 9, "overbooking_units": 2}, {"capacity": 9, "remaining": 11}),
        ("close", None, {"state": "closed", "version": 3}),
        ("reopen", None, {"state": "open", "version": 4}),
    ):
        told = await guest.post(f"/v1/slots/{slot}/{verb}", body, **{"if-match": "*"})
        shown = await guest.get(f"/v1/slots/{slot}")
        assert told.items() <= shown.items() | {("position", told["position"])}
        assert seen.items() <= shown.items()


async def test_a_booking_that_is_moved_is_seen_where_it_is(guest):
    _, (here, there) = await two_slots(guest)
    booking = await held(guest, here)
    path = f"/v1/bookings/{booking}"
    told = await guest.post(f"{path}/extend", {"hold_seconds": 900})
    assert (await guest.get(path))["expires_at"] == told["expires_at"]
    await guest.post(f"{path}/transfer", {"customer_id": BOB})
    assert (await guest.get(path))["customer_id"] == BOB
    lines = [{"slot_id": there, "units": 3}]
    await guest.post(f"{path}/reschedule", {"lines": lines}, **{"if-match": '"3"'})
    shown = await guest.get(path)
    assert [(line["slot_id"], line["units"]) for line in shown["lines"]] == [(there, 3)]
    assert (shown["state"], shown["version"]) == ("held", 4)
    assert (await guest.get(f"/v1/slots/{here}"))["remaining"] == 5
    assert (await guest.get(f"/v1/slots/{there}"))["remaining"] == 2


async def test_a_hold_that_nobody_confirms_ends_by_itself_and_is_seen_to(guest):
    _, (slot, _) = await two_slots(guest)
    booking = await held(guest, slot, hold_seconds=1)

    async def expired():
        return (await guest.get(f"/v1/bookings/{booking}"))["state"] == "expired"

    await eventually(expired, within_s=10)
    assert (await guest.get(f"/v1/slots/{slot}"))["remaining"] == 5
