"""API keys: shown once, known by their SHA-256, good for their scopes, refused once revoked."""

import hashlib
from uuid import UUID

import pytest
from eventually import eventually
from shop import ADA, BOB, open_shop

from booking import keys
from booking.edge.failures import Misconfigured


async def test_a_key_is_stored_as_its_sha256_only(database):
    made = await keys.create(database, name="box office", scopes=["bookings:write"])
    assert made.secret.startswith(keys.PREFIX)
    row = await database.fetchrow("SELECT * FROM booking.api_key")
    assert row["sha256"] == hashlib.sha256(made.secret.encode()).digest()
    assert made.secret not in str(dict(row))
    (listed,) = await keys.list_keys(database)
    assert (listed.key_id, listed.name, listed.revoked_at) == (made.key_id, "box office", None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"scopes": ["everything"]},
        {"scopes": []},
        {"scopes": ["bookings:own"]},
        {"scopes": ["read"], "customer_id": UUID(ADA)},
        {"scopes": ["read"], "name": ""},
        {"scopes": ["read"], "rate_per_s": 0},
        {"scopes": ["read"], "name": "taken"},
    ],
)
async def test_a_key_that_makes_no_sense_is_refused_with_a_sentence(database, wrong):
    await keys.create(database, name="taken", scopes=["read"])
    with pytest.raises(Misconfigured):
        await keys.create(database, **({"name": "new"} | wrong))


async def test_the_name_of_a_revoked_key_stays_taken_and_the_refusal_says_so(database):
    await keys.create(database, name="till", scopes=["read"])
    with pytest.raises(Misconfigured, match="till exists already: choose"):
        await keys.create(database, name="till", scopes=["read"])
    await keys.revoke(database, "till")
    with pytest.raises(Misconfigured, match=r"till was revoked on \d.* stays taken: choose"):
        await keys.create(database, name="till", scopes=["read"])


async def test_the_initial_key_is_stored_only_when_there_is_none(database):
    assert await keys.store_initial(database, "a-long-enough-initial-key")
    assert not await keys.store_initial(database, "another-long-enough-initial-key")
    (listed,) = await keys.list_keys(database)
    assert set(listed.scopes) == set(keys.SCOPES_WITHOUT_A_CUSTOMER)
    with pytest.raises(Misconfigured, match="BOOKING_INITIAL_KEY"):
        await keys.store_initial(database, "short")


async def test_the_role_of_the_api_may_manage_keys(database):
    await database.execute("SET ROLE booking_writer")
    made = await keys.create(database, name="till", scopes=["read"])
    assert await keys.revoke(database, "till") == "till"
    assert await keys.revoke(database, str(made.key_id)) == "till"
    with pytest.raises(Misconfigured, match="no key"):
        await keys.revoke(database, "nobody")


async def in_production(database_url, database, **key):
    made = await keys.create(database, name="me", **key)
    return open_shop(
        database_url,
        environment="production",
        headers={"authorization": f"Bearer {made.secret}"},
    )


async def test_in_production_a_key_opens_what_its_scopes_say(database_url, database):
    scopes = ["inventory:write", "bookings:write"]
    async with await in_production(database_url, database, scopes=scopes) as shop:
        slot = await shop.slot(5)
        assert (await shop.take(slot)).status_code == 201
        assert (await shop.http.get("/health/ready")).status_code == 200
        shop.http.headers.pop("authorization")
        refused = await shop.take(slot)
        assert (refused.status_code, refused.json()["type"]) == (401, "/problems/unauthenticated")


async def test_a_revoked_key_is_refused_within_seconds(database_url, database):
    async with await in_production(database_url, database, scopes=["bookings:write"]) as shop:
        assert (await shop.order("confirm", ADA)).status_code == 404
        await keys.revoke(database, "me")

        async def refused():
            return (await shop.order("confirm", ADA)).status_code == 401

        await eventually(refused, within_s=10)
        assert (await shop.http.get("/health/ready")).json()["missing"] == ["api-keys"]


async def test_a_customers_own_key_books_for_that_customer_and_sees_nobody_elses(
    shop, database_url, database
):
    slot = await shop.slot(9)
    bobs = await shop.held(slot, customer=BOB)
    key = {"scopes": ["bookings:own"], "customer_id": UUID(ADA)}
    async with await in_production(database_url, database, **key) as ada:
        mine = await ada.held(slot, customer=ADA)
        assert (await ada.order("confirm", mine)).status_code == 200
        other = await ada.take(slot, customer=BOB)
        assert (other.status_code, other.json()["type"]) == (403, "/problems/insufficient-scope")
        hidden = await ada.order("release", bobs)
        assert (hidden.status_code, hidden.json()["type"]) == (404, "/problems/booking-not-found")
        given = await ada.post(f"/v1/bookings/{mine}/transfer", {"customer_id": BOB})
        assert (given.status_code, given.json()["type"]) == (403, "/problems/insufficient-scope")
        kept = await ada.post(f"/v1/bookings/{mine}/transfer", {"customer_id": ADA})
        assert (kept.status_code, kept.headers["etag"]) == (200, '"2"')
        for body, verb in (
            ({}, "extend"),
            ({"lines": [{"slot_id": slot, "units": 1}]}, "reschedule"),
        ):
            path = f"/v1/bookings/{bobs}/{verb}"
            assert (await ada.post(path, body, key=f"k-{verb}")).status_code == 404
        for path in ("/v1/resources", f"/v1/slots/{slot}/close"):
            assert (await ada.post(path, {}, key="k-1")).status_code == 403


async def test_a_customers_own_key_does_not_learn_the_version_of_somebody_elses_booking(
    shop, database_url, database
):
    slot = await shop.slot(9)
    bobs = await shop.held(slot, customer=BOB)
    key = {"scopes": ["bookings:own"], "customer_id": UUID(ADA)}
    async with await in_production(database_url, database, **key) as ada:
        mine = await ada.held(slot, customer=ADA)
        for taken, version in ((bobs, None), (mine, '"1"')):
            again = await ada.take(slot, customer=ADA, booking_id=taken)
            assert (again.status_code, again.json()["type"]) == (409, "/problems/already-exists")
            assert again.headers.get("etag") == version
    by_all = await shop.take(slot, customer=ADA, booking_id=bobs)
    assert (by_all.status_code, by_all.headers["etag"]) == (409, '"1"')


async def test_keys_of_commands_belong_to_their_caller(shop, database_url, database):
    slot = await shop.slot(9)
    async with await in_production(database_url, database, scopes=["bookings:write"]) as other:
        first = await shop.take(slot, key="k-1")
        second = await other.take(slot, key="k-1")
        assert second.status_code == 201
        assert second.json()["booking_id"] != first.json()["booking_id"]
        assert (await other.http.get("/v1/commands/k-1")).json()["answer"] == second.json()
