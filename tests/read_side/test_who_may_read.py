"""Keys and scopes on the read side, and what is answered when the primary is away."""

import hashlib
from uuid import uuid4

import pytest
from at_work import answering
from eventually import eventually

INSERT_KEY = """
INSERT INTO booking.api_key (name, sha256, scopes, customer_id) VALUES ($1, $2, $3, $4)
"""


async def key(owner, name: str, *scopes: str, customer_id=None) -> dict[str, str]:
    """A live key, as the header that sends it."""
    await owner.execute(
        INSERT_KEY, name, hashlib.sha256(name.encode()).digest(), scopes, customer_id
    )
    return {"Authorization": f"Bearer {name}"}


@pytest.fixture
async def production(database_url, fresh_nats, projector):
    """The API as production runs it, for keys made before it starts."""

    def start():
        return answering(database_url, fresh_nats.url, environment="production")

    return start


async def test_a_customers_own_key_sees_that_customers_bookings_only(
    production, owner, log, stream
):
    alice, bob = uuid4(), uuid4()
    own = await key(owner, "alice", "bookings:own", customer_id=alice)
    everyone = await key(owner, "desk", "bookings:write")
    slot_id = await log.slot()
    hers = await log.book(slot_id, customer_id=alice)
    his = await log.book(slot_id, customer_id=bob)
    await stream.copy()
    async with production() as api:

        async def there():
            return (await api.get(f"/v1/bookings/{his}", headers=everyone)).status_code == 200

        await eventually(there)
        assert (await api.get(f"/v1/bookings/{hers}", headers=own)).status_code == 200
        assert (await api.get(f"/v1/bookings/{his}", headers=own)).status_code == 404
        listed = await api.get(f"/v1/bookings?customer_id={alice}", headers=own)
        assert len(listed.json()["bookings"]) == 1
        assert (await api.get(f"/v1/bookings?customer_id={bob}", headers=own)).status_code == 403
        assert (await api.get(f"/v1/bookings?slot_id={slot_id}", headers=own)).status_code == 403


async def test_each_scope_opens_its_own_doors(production, owner, log, stream):
    reader = await key(owner, "reader", "read")
    desk = await key(owner, "desk", "bookings:write")
    operator = await key(owner, "operator", "operate")
    slot_id = await log.slot()
    await stream.copy()
    async with production() as api:

        async def status(path: str, headers: dict[str, str]) -> int:
            return (await api.get(path, headers=headers)).status_code

        assert await status("/v1/events", {}) == 401
        assert await status("/v1/events", reader) == 403
        assert await status("/v1/events", operator) == 200
        assert await status(f"/v1/bookings?slot_id={slot_id}", desk) == 403
        assert await status(f"/v1/bookings?slot_id={slot_id}", reader) == 200
        assert await status("/v1/resources", desk) == 403
        assert await status("/v1/consistency", reader) == 200


async def test_without_the_primary_only_reads_that_ask_for_no_freshness_are_answered(
    owner, log, stream, api
):
    slot_id = await log.slot()
    await stream.copy()

    async def there() -> bool:
        return (await api.get(f"/v1/slots/{slot_id}")).status_code == 200

    await eventually(there)
    await owner.execute("REVOKE SELECT ON published.head FROM query_reader")

    strong = await api.get(f"/v1/slots/{slot_id}", headers={"Cache-Control": "no-cache"})
    assert strong.status_code == 503
    assert strong.json()["type"] == "/problems/log-unreachable"
    assert int(strong.headers["retry-after"]) >= 1
    assert (await api.get(f"/v1/slots/{slot_id}")).status_code == 200


async def test_while_the_view_is_rebuilt_nothing_is_told(owner, database_url, fresh_nats):
    async with answering(database_url, fresh_nats.url) as api:  # no projector has ever been here
        refused = await api.get(f"/v1/slots/{uuid4()}")
        assert refused.status_code == 503
        assert refused.json()["type"] == "/problems/rebuilding"
        assert (await api.get("/health/ready")).status_code == 503
