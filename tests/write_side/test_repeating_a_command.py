"""Idempotency: whoever asks twice under one key is served once."""

import asyncio
from hashlib import sha256
from uuid import UUID, uuid4

import pytest
from shop import ADA, BOB, all_at_once, an_evening, open_shop

from booking.app import ROLE
from booking.attempts import CALL_TIMEOUT_S, STATEMENT_TIMEOUT_MS
from booking.batcher import DEADLINE_S
from booking.edge.database import open_pool
from booking.guards import records

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
KEPT = ("location", "etag", "consistency-token", "content-type", "cache-control")


def same_answer(first, again):
    assert again.status_code == first.status_code
    assert again.content == first.content
    for name in KEPT:
        assert again.headers.get(name) == first.headers.get(name)


async def test_a_repeated_booking_is_answered_byte_for_byte(shop):
    slot = await shop.slot(10)
    first = await shop.take({slot: 2}, mode="hold", key="k-1")
    again = await shop.take({slot: 2}, mode="hold", key='"k-1"')
    same_answer(first, again)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert await shop.database.fetchval("SELECT held FROM booking.slot") == 2


async def test_a_repeat_is_answered_as_it_was_even_when_the_slot_is_sold_out_by_now(shop):
    slot = await shop.slot(1)
    first = await shop.take(slot, key="k-1")
    await shop.order("cancel", first.json()["booking_id"])
    await shop.booked(slot)
    same_answer(first, await shop.take(slot, key="k-1"))


async def test_white_space_order_of_members_and_omitted_defaults_do_not_count(shop):
    slot = await shop.slot(10)
    first = await shop.take(slot, mode="hold", key="k-1")
    body = (
        f'{{ "lines" : [ {{"units":1, "slot_id":"{slot}"}} ],\n "hold_seconds": null,'
        f' "booking_id":null, "customer_id":"{ADA.upper()}","mode":"hold"}}'
    )
    again = await shop.http.post(
        "/v1/bookings",
        content=body,
        headers={"content-type": "application/json", "idempotency-key": "k-1"},
    )
    same_answer(first, again)


@pytest.mark.parametrize("changed", [{"mode": "hold"}, {"customer": BOB}, {"lines": 2}])
async def test_a_key_used_for_another_body_is_refused(shop, changed):
    slot = await shop.slot(10)
    await shop.take(slot, key="k-1")
    lines = {slot: changed.pop("lines", 1)}
    again = await shop.take(lines, key="k-1", **changed)
    assert (again.status_code, again.json()["type"]) == (422, "/problems/idempotency-key-reused")
    assert await shop.database.fetchval("SELECT confirmed FROM booking.slot") == 1


async def test_a_key_used_at_another_address_or_with_another_if_match_is_refused(shop):
    slot = await shop.slot(10)
    booking = await shop.held(slot)
    await shop.order("confirm", booking, key="k-1")
    for again in (
        await shop.order("cancel", booking, key="k-1"),
        await shop.order("confirm", booking, key="k-1", if_match='"1"'),
    ):
        assert (again.status_code, again.json()["type"]) == (
            422,
            "/problems/idempotency-key-reused",
        )


async def test_how_a_moment_is_written_does_not_count(shop):
    path = f"/v1/resources/{await shop.resource()}/slots"
    utc = {"starts_at": "2099-01-01T00:00:00Z", "ends_at": "2099-01-01T02:00:00Z"}
    paris = {"starts_at": "2099-01-01T01:00:00+01:00", "ends_at": "2099-01-01t03:00:00.000+01:00"}
    later = {"starts_at": "2099-01-01T00:00:00+01:00", "ends_at": "2099-01-01T02:00:00+01:00"}
    first = await shop.post(path, {"slots": [an_evening(3, **utc)]}, key="k-1")
    same_answer(first, await shop.post(path, {"slots": [an_evening(3, **paris)]}, key="k-1"))
    another = await shop.post(path, {"slots": [an_evening(3, **later)]}, key="k-1")
    assert (another.status_code, another.json()["type"]) == (
        422,
        "/problems/idempotency-key-reused",
    )


async def test_how_an_id_in_the_path_is_written_does_not_count(shop):
    booking = await shop.held(await shop.slot(10))
    first = await shop.order("confirm", booking, key="k-1")
    same_answer(first, await shop.order("confirm", booking.upper(), key="k-1"))
    same_answer(first, await shop.order("confirm", booking.replace("-", ""), key="k-1"))


async def test_how_a_list_of_versions_is_written_does_not_count(shop):
    path, body = f"/v1/slots/{await shop.slot(10)}/resize", {"capacity": 9}
    first = await shop.post(path, body, key="k-1", if_match='"1","99"')
    for again in ('"1", "99"', '"99" ,\t"1"', '"1","99","1"'):
        same_answer(first, await shop.post(path, body, key="k-1", if_match=again))
    for other in ('"1"', "*", '"1","98"', 'W/"1","99"'):
        answer = await shop.post(path, body, key="k-1", if_match=other)
        assert answer.json()["type"] == "/problems/idempotency-key-reused"


async def test_a_new_version_of_the_system_still_knows_the_keys_of_the_one_before(shop):
    """What is compared is kept for a day, so how it is made may not change for what clients usually send."""
    slot = await shop.slot(10)
    booking = await shop.held(slot)
    await shop.order("confirm", booking, key="k-1", if_match='"1"')
    kept = await shop.database.fetchval(
        "SELECT fingerprint FROM booking.command_record WHERE command_id = 'k-1'"
    )
    assert kept == sha256(f'POST /v1/bookings/{booking}/confirm\n"1"\n{{}}'.encode()).digest()


async def test_many_equal_requests_at_once_are_one_booking_and_get_one_answer(shop):
    slot = await shop.slot(10)
    answers = await all_at_once([lambda: shop.take(slot, key="k-1")] * 20)
    assert {a.status_code for a in answers} == {201}
    assert len({a.content for a in answers}) == 1
    assert sum("idempotent-replayed" not in a.headers for a in answers) == 1
    assert await shop.database.fetchval("SELECT confirmed FROM booking.slot") == 1
    await shop.assert_books_agree()


async def test_equal_requests_at_two_processes_at_once_are_one_booking_too(shop, database_url):
    async with open_shop(database_url) as other:
        slot = await shop.slot(100)
        for _ in range(10):
            key = str(uuid4())
            answers = await all_at_once(
                [lambda who=w, key=key: who.take(slot, key=key) for w in (shop, other)]
            )
            assert {a.status_code for a in answers} == {201}
            assert len({a.content for a in answers}) == 1
        assert await shop.database.fetchval("SELECT confirmed FROM booking.slot") == 10
        await shop.assert_books_agree()


async def test_a_refusal_is_not_kept_so_the_same_key_may_succeed_later(shop):
    slot = await shop.slot(1)
    held = await shop.held(slot)
    assert (await shop.take(slot, key="k-1")).status_code == 409
    await shop.order("release", held)
    assert (await shop.take(slot, key="k-1")).status_code == 201


async def test_resources_and_slots_are_repeated_byte_for_byte_too(shop):
    body = {"name": "Hall", "time_zone": "UTC"}
    first = await shop.post("/v1/resources", body, key="r-1")
    same_answer(first, await shop.post("/v1/resources", body | {"policy": {}}, key="r-1"))
    path = f"{first.headers['location']}/slots"
    slots = {"slots": [an_evening(3), an_evening(4)]}
    opened = await shop.post(path, slots, key="s-1")
    same_answer(opened, await shop.post(path, slots, key="s-1"))
    assert await shop.head() == 3


@pytest.mark.parametrize("key", [b"k-1 ", b"k-1\t", b"  k-1 \t", b'"k-1"\t'])
async def test_blanks_around_a_key_are_no_part_of_it(shop, key):
    slot = await shop.slot(10)
    first = await shop.take(slot, key="k-1")
    again = await sent_as_it_stands(shop, first.request, key)
    assert again.startswith(b"HTTP/1.1 201 ")
    assert b"\r\nidempotent-replayed: true\r\n" in again
    assert again.endswith(first.content)


async def test_blanks_within_the_quotes_of_a_key_are_refused(shop):
    first = await shop.take(await shop.slot(10), key="k-1")
    assert (await sent_as_it_stands(shop, first.request, b'"k-1 "')).startswith(b"HTTP/1.1 400 ")


async def sent_as_it_stands(shop, request, key):
    """The whole answer to a request with a key that the client at hand would not send."""
    reader, writer = await asyncio.open_connection(request.url.host, request.url.port)
    writer.write(
        b"POST /v1/bookings HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\nIdempotency-Key: %b\r\n\r\n%b"
        % (len(request.content), key, request.content)
    )
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize("key", ["", "a b", "x" * 129, 'a"b', "ü", '"open'])
async def test_a_malformed_key_is_refused(shop, key):
    answer = await shop.http.post(
        "/v1/resources",
        json={"name": "Hall", "time_zone": "UTC"},
        headers={"idempotency-key": key.encode("latin-1")},
    )
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/invalid-header")


@pytest.mark.parametrize("path", ["/v1/resources", f"/v1/resources/{ADA}/slots", "/v1/bookings"])
async def test_what_creates_something_needs_a_key(shop, path):
    answer = await shop.post(path, {"malformed": "body"})
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/idempotency-key-missing")


async def test_a_lost_answer_is_found_by_its_key(shop):
    slot = await shop.slot(10)
    booked = await shop.take(slot, key="k-1")
    found = await shop.http.get("/v1/commands/k-1")
    assert found.status_code == 200
    body = found.json()
    assert body["answer"] == booked.json()
    assert booked.content in found.content
    assert (body["key"], body["state"], body["command"], body["status"]) == (
        "k-1", "done", "BookNow", 201,
    )  # fmt: skip
    assert (body["location"], body["position"]) == (
        booked.headers["location"],
        booked.json()["position"],
    )
    quoted = await shop.http.get("/v1/commands/%22k-1%22")
    assert quoted.content == found.content, "quotes are no part of a key, here as in the header"


@pytest.mark.parametrize("key", ["never-used", "a%20b", "%00"])
async def test_a_key_under_which_nothing_was_accepted_is_not_found(shop, key):
    answer = await shop.http.get(f"/v1/commands/{key}")
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/command-not-found")


async def test_records_are_kept_for_a_day_from_when_they_were_made_and_then_forgotten(
    shop, database_url, monkeypatch
):
    monkeypatch.setattr(records, "FORGOTTEN_AT_ONCE_MAX", 2)
    slot = await shop.slot(10)
    bookings = [(await shop.take(slot, key=f"old-{n}")).json()["booking_id"] for n in range(5)]
    await shop.database.execute(
        "UPDATE booking.command_record SET recorded_at = recorded_at - interval '2 days', "
        "kept_since = kept_since - make_interval(hours => 23, mins => 59) - "
        "CASE WHEN command_id < 'old-3' THEN interval '2 minutes' ELSE interval '0' END "
        "WHERE command_id LIKE 'old-%'"
    )
    async with await open_pool(
        database_url, role=ROLE, name="upkeep", size_max=1, statement_timeout_ms=4000
    ) as pool:
        assert await records.forget_old(pool) == 3
        assert await records.forget_old(pool) == 0
    found = [(await shop.http.get(f"/v1/commands/old-{n}")).status_code for n in range(5)]
    assert found == [404, 404, 404, 200, 200]
    assert await shop.database.fetchval("SELECT confirmed FROM booking.slot") == len(bookings)


async def test_what_was_shown_the_trace_and_the_token_of_a_repeat_do_not_count(shop):
    slot = await shop.slot(10)
    body = {"customer_id": ADA, "mode": "book", "lines": [{"slot_id": slot, "units": 1}]}
    first = await shop.post("/v1/bookings", body, key="k-1")
    token = first.headers["consistency-token"]
    more = {"based_on": token, "consistency_token": token, "traceparent": TRACE}
    same_answer(first, await shop.post("/v1/bookings", body, key="k-1", **more))


async def test_a_repeat_is_judged_before_the_state_that_would_refuse_it(shop):
    booking = await shop.held(await shop.slot(10))
    first = await shop.order("confirm", booking, key="k-1")
    await shop.order("cancel", booking)
    assert (await shop.order("confirm", booking, key="k-2")).status_code == 409
    same_answer(first, await shop.order("confirm", booking, key="k-1"))


async def test_a_repeat_is_judged_before_the_version_that_would_refuse_it(shop):
    path, body = f"/v1/slots/{await shop.slot(10)}/resize", {"capacity": 9}
    first = await shop.post(path, body, key="k-1", if_match='"1"')
    assert (await shop.post(path, body, key="k-2", if_match='"1"')).status_code == 412
    same_answer(first, await shop.post(path, body, key="k-1", if_match='"1"'))


async def test_a_repeat_is_judged_before_existence(shop):
    """Nothing is ever deleted by a command, so here the owner's hand does it."""
    booking = await shop.held(await shop.slot(10))
    first = await shop.order("confirm", booking, key="k-1")
    elsewhere = await shop.order("confirm", str(uuid4()), key="k-1")
    assert (elsewhere.status_code, elsewhere.json()["type"]) == (
        422,
        "/problems/idempotency-key-reused",
    )
    for table in ("booking_line", "booking"):
        await shop.database.execute(f"DELETE FROM booking.{table}")
    assert (await shop.order("confirm", booking, key="k-2")).status_code == 404
    same_answer(first, await shop.order("confirm", booking, key="k-1"))


async def test_a_command_without_a_key_has_an_id_by_which_it_is_found(shop):
    booking = await shop.held(await shop.slot(10))
    confirmed = await shop.order("confirm", booking)
    command_id = (await shop.log())[-1]["command_id"]
    assert UUID(command_id).version == 7
    found = await shop.http.get(f"/v1/commands/{command_id}")
    assert found.json()["answer"] == confirmed.json()


async def test_the_trace_of_a_request_is_carried_into_its_event(shop):
    slot = await shop.slot(10)
    body = {"customer_id": ADA, "mode": "book", "lines": [{"slot_id": slot, "units": 1}]}
    await shop.post("/v1/bookings", body, key="k-1", traceparent=TRACE)
    carried = (await shop.log())[-1]["traceparent"].split("-")
    assert (carried[0], carried[1], carried[3]) == ("00", TRACE.split("-")[1], "01")


def test_a_key_that_is_not_found_ten_seconds_after_the_attempt_never_will_be():
    """The deciding call refuses past the deadline, and no call outlives its time-out."""
    assert DEADLINE_S + STATEMENT_TIMEOUT_MS / 1000 < 10
    assert STATEMENT_TIMEOUT_MS / 1000 < CALL_TIMEOUT_S


async def test_a_record_that_cannot_be_read_is_no_word_that_nothing_happened(shop):
    slot = await shop.slot(1)
    await shop.take(slot, key="k-1")
    async with shop.database.transaction():
        await shop.database.execute("LOCK TABLE booking.command_record")
        asked = await shop.http.get("/v1/commands/k-1")
    assert (asked.status_code, asked.json()["outcome"]) == (503, "may-have-happened")
    assert "nothing is known" in asked.json()["detail"]
    assert (await shop.http.get("/v1/commands/k-1")).status_code == 200


async def test_nobody_waits_for_ever_for_a_connection_to_read_a_record(shop, monkeypatch):
    monkeypatch.setattr(records, "RECALL_DEADLINE_S", 0.3)
    async with shop.database.transaction():
        await shop.database.execute("LOCK TABLE booking.command_record")
        asked = await asyncio.gather(*[shop.http.get("/v1/commands/k-1") for _ in range(20)])
    assert {(answer.status_code, answer.json()["outcome"]) for answer in asked} == {
        (503, "may-have-happened")
    }
