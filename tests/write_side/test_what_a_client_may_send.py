"""The command door is strict: whatever is not the documented request is refused, and nothing is written."""

import json
from uuid import uuid4

import pytest
from shop import ADA, an_evening

from booking.commands import create_resource

HUGE = 10**23


@pytest.fixture
def shop(one_shop):
    """Nothing is written, so all claims can share one."""
    return one_shop


def changed(body, **members):
    """The body with members replaced; `...` leaves one out."""
    return {name: value for name, value in (body | members).items() if value is not ...}


async def refused(shop, path, body, *, status, slug, content_type="application/json"):
    """The problem of a request that is refused; the log must not have moved."""
    before = await shop.head()
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = await shop.http.post(
        path,
        content=content,
        headers={"content-type": content_type, "idempotency-key": str(uuid4())},
    )
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{slug}"), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert {"title", "detail", "instance", "trace_id"} <= answer.json().keys()
    assert await shop.head() == before
    return answer.json()


BOOKING = {"mode": "hold", "customer_id": ADA, "lines": [{"slot_id": ADA, "units": 1}]}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (changed(BOOKING, colour="red"), "/colour"),
        (changed(BOOKING, mode=...), "/mode"),
        (changed(BOOKING, mode="borrow"), "/mode"),
        (changed(BOOKING, customer_id="ada"), "/customer_id"),
        (changed(BOOKING, customer_id=...), "/customer_id"),
        (changed(BOOKING, lines=[]), "/lines"),
        (changed(BOOKING, lines=BOOKING["lines"] * 33), "/lines"),
        (changed(BOOKING, lines=[{"slot_id": ADA, "units": "1"}]), "/lines/0/units"),
        (changed(BOOKING, lines=[{"slot_id": ADA, "units": 1.5}]), "/lines/0/units"),
        (changed(BOOKING, lines=[{"slot_id": ADA, "units": True}]), "/lines/0/units"),
        (changed(BOOKING, lines=[{"slot_id": ADA, "units": 0}]), "/lines/0/units"),
        (changed(BOOKING, lines=[{"slot_id": ADA, "units": 10_001}]), "/lines/0/units"),
        (changed(BOOKING, lines=[{"slot_id": ADA, "units": HUGE}]), "/lines/0/units"),
        (changed(BOOKING, lines=[{"slot_id": ADA, "units": 1, "seat": 4}]), "/lines/0/seat"),
        (changed(BOOKING, hold_seconds=0), "/hold_seconds"),
        (changed(BOOKING, hold_seconds=604_801), "/hold_seconds"),
        (changed(BOOKING, mode="book", hold_seconds=60), "/hold_seconds"),
        ([], ""),
        (None, ""),
    ],
)
async def test_a_booking_that_is_not_the_documented_body_is_refused_and_the_place_is_named(
    shop, body, pointer
):
    problem = await refused(shop, "/v1/bookings", body, status=422, slug="invalid-request")
    assert problem["errors"][0]["pointer"] == pointer


RESOURCE = {"name": "Hall", "time_zone": "Europe/Amsterdam"}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (changed(RESOURCE, name=""), "/name"),
        (changed(RESOURCE, name="x" * 201), "/name"),
        (changed(RESOURCE, name="nul\x00"), "/name"),
        (changed(RESOURCE, name="bell\x07"), "/name"),
        (changed(RESOURCE, name="line\n"), "/name"),
        (changed(RESOURCE, time_zone="Europe/Atlantis"), "/time_zone"),
        (changed(RESOURCE, time_zone="../etc/passwd"), "/time_zone"),
        (changed(RESOURCE, time_zone="Mars - at `$.name`"), "/time_zone"),
        (changed(RESOURCE, resource_id=7), "/resource_id"),
        (changed(RESOURCE, policy={"hold_seconds": 604_801}), "/policy/hold_seconds"),
        (changed(RESOURCE, policy={"overbooking_units": -1}), "/policy/overbooking_units"),
        (changed(RESOURCE, policy={"overbooking_units": HUGE}), "/policy/overbooking_units"),
        (changed(RESOURCE, policy={"unknown": 1}), "/policy/unknown"),
    ],
)
async def test_a_resource_that_is_not_the_documented_body_is_refused_and_the_place_is_named(
    shop, body, pointer
):
    problem = await refused(shop, "/v1/resources", body, status=422, slug="invalid-request")
    assert problem["errors"][0]["pointer"] == pointer


async def test_a_time_zone_that_only_this_machine_knows_is_refused_because_days_are_cut_elsewhere(
    shop, monkeypatch
):
    monkeypatch.setattr(create_resource, "_time_zones", lambda: {"localtime", "Europe/Paris"})
    body = changed(RESOURCE, time_zone="localtime")
    problem = await refused(shop, "/v1/resources", body, status=422, slug="invalid-request")
    assert problem["errors"][0]["pointer"] == "/time_zone"
    known = changed(RESOURCE, time_zone="Europe/Paris")
    assert (await shop.post("/v1/resources", known, key=str(uuid4()))).status_code == 201


@pytest.mark.parametrize(
    "slot",
    [
        an_evening(1, starts_at="2030-01-01T19:00:00"),
        an_evening(1, ends_at="2030-01-01"),
        an_evening(1, starts_at=1_893_456_000),
        an_evening(1, starts_at="2030-01-01T22:00:00Z"),
        an_evening(1, starts_at="9999-12-31T23:59:59-05:00", ends_at="9999-12-31T23:59:59-06:00"),
        an_evening(1, starts_at="1969-12-31T23:59:59Z"),
        an_evening(1, ends_at="2200-01-01T00:00:00Z"),
        an_evening(-1),
        an_evening(1_000_001),
        an_evening(HUGE),
        an_evening("1"),
    ],
)
async def test_a_slot_that_is_not_the_documented_body_is_refused(shop, slot):
    path = f"/v1/resources/{await shop.resource()}/slots"
    good = an_evening(1)
    await refused(shop, path, {"slots": [good, slot]}, status=422, slug="invalid-request")


async def test_more_slots_than_a_call_may_open_or_the_same_one_twice_are_refused(shop):
    path = f"/v1/resources/{await shop.resource()}/slots"
    for slots in ([], [an_evening(1)] * 1001, [an_evening(1, slot_id=ADA)] * 2):
        await refused(shop, path, {"slots": slots}, status=422, slug="invalid-request")


@pytest.mark.parametrize(
    ("path", "body", "pointer", "detail"),
    [
        (
            "/v1/resources",
            changed(RESOURCE, name="Hall\nA"),
            "/name",
            "A name takes no control characters, such as a tab or the end of a line",
        ),
        (
            "/v1/resources",
            changed(RESOURCE, name="x" * 201),
            "/name",
            "Expected str of length <= 200",
        ),
        (
            "/v1/bookings",
            changed(BOOKING, mode="book", hold_seconds=60),
            "/hold_seconds",
            "With mode book nothing is held: leave hold_seconds out",
        ),
        (
            "/v1/bookings",
            changed(BOOKING, hold_seconds="60"),
            "/hold_seconds",
            "Expected int | null, got str",
        ),
        (
            f"/v1/resources/{ADA}/slots",
            {"slots": [an_evening(1), *[an_evening(1, slot_id=ADA)] * 2]},
            "/slots/2/slot_id",
            "A slot before it has this id",
        ),
    ],
)
async def test_what_is_wrong_with_a_body_is_told_in_words_and_at_its_place(
    shop, path, body, pointer, detail
):
    problem = await refused(shop, path, body, status=422, slug="invalid-request")
    assert problem["errors"] == [{"pointer": pointer, "detail": detail}]
    assert problem["detail"] == f"The body is not the documented one at {pointer}: {detail}."


@pytest.mark.parametrize("body", [b"{", b"", b'{"mode":}', b"\xff\xfe", b"{} {}", b"[" * 5000])
async def test_malformed_json_is_refused(shop, body):
    await refused(shop, "/v1/bookings", body, status=400, slug="malformed-json")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "text/json"])
async def test_another_media_type_is_refused(shop, kind):
    await refused(
        shop, "/v1/bookings", BOOKING, status=415, slug="unsupported-media-type", content_type=kind
    )


async def test_a_body_of_two_mebibytes_is_refused(shop):
    body = json.dumps(RESOURCE | {"name": "x" * 2**21}).encode()
    await refused(shop, "/v1/resources", body, status=413, slug="content-too-large")


async def test_an_id_in_the_path_that_is_no_uuid_leads_nowhere(shop):
    await refused(shop, "/v1/resources/7/slots", {}, status=404, slug="not-found")
    for spelling in ("7", f"urn:uuid:{ADA}", f"{{{ADA}}}"):
        path = f"/v1/bookings/{spelling}/confirm"
        await refused(shop, path, {}, status=404, slug="not-found")


async def test_a_command_without_a_body_takes_nothing_or_an_empty_object(shop):
    slot = await shop.slot(3)
    for body in (None, {}):
        answer = await shop.post(f"/v1/bookings/{await shop.held(slot)}/confirm", body)
        assert answer.status_code == 200
    await refused(
        shop,
        f"/v1/bookings/{await shop.held(slot)}/confirm",
        {"now": True},
        status=422,
        slug="invalid-request",
    )


async def test_what_the_user_was_shown_is_counted_and_must_be_a_token_of_ours(shop):
    slot = await shop.slot(1)
    shown = (await shop.take(slot)).headers["consistency-token"]
    body = {"mode": "book", "customer_id": ADA, "lines": [{"slot_id": slot, "units": 1}]}
    refusal = await shop.post("/v1/bookings", body, key=str(uuid4()), based_on=shown)
    assert refusal.status_code == 409
    forged = await shop.post("/v1/bookings", body, key=str(uuid4()), based_on=shown[:-4] + "AAAA")
    assert (forged.status_code, forged.json()["type"]) == (400, "/problems/invalid-token")


async def test_lines_of_one_slot_are_merged_and_answered_in_slot_id_order(shop):
    one, two = sorted(await shop.slots(2, capacity=10))
    answer = await shop.post(
        "/v1/bookings",
        {
            "mode": "hold",
            "customer_id": ADA,
            "lines": [
                {"slot_id": two, "units": 1},
                {"slot_id": one, "units": 2},
                {"slot_id": two, "units": 3},
            ],
        },
        key=str(uuid4()),
    )
    assert answer.json()["lines"] == [
        {"slot_id": one, "units": 2, "remaining": 8, "version": 2},
        {"slot_id": two, "units": 4, "remaining": 6, "version": 2},
    ]
