"""Who is let in: keys, scopes, rates, in the documented order."""

import pytest
from a_tiny_part import key, tiny_part, tiny_server
from eventually import eventually
from structlog.testing import capture_logs

from booking.edge.admission import Admission
from booking.edge.api_keys import ANONYMOUS, GOOD_FOR_S, Caller, KeyTable
from booking.edge.rate_limit import RateLimit
from booking.edge.serving import http_app


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


async def test_in_development_nobody_needs_a_key():
    async with tiny_server() as client:
        caller = (await client.get("/v1/whoami")).json()
        assert caller["name"] == "anonymous"
        assert "operate" in caller["scopes"]


async def test_in_development_a_key_that_is_sent_is_checked():
    async with tiny_server(key("alice", "read")) as client:
        assert (await client.get("/v1/whoami", headers=bearer("alice"))).json()["name"] == "alice"
        assert (await client.get("/v1/whoami", headers=bearer("mallory"))).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [{}, bearer("mallory"), {"authorization": "Basic YTpi"}, {"authorization": "Bearer"}],
)
async def test_in_production_nobody_is_let_in_without_a_live_key(headers):
    async with tiny_server(key("alice", "read"), environment="production") as client:
        answer = await client.get("/v1/whoami", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["type"] == "/problems/unauthenticated"
        assert (await client.get("/health/live")).status_code == 200


async def test_a_key_may_do_what_its_scopes_say():
    keys = key("alice", "inventory:write"), key("bob", "read"), key("olga", "operate")
    async with tiny_server(*keys, environment="production") as client:
        thing = {"name": "a"}
        made = await client.post("/v1/things", json=thing, headers=bearer("alice"))
        assert made.status_code == 201
        refused = await client.post("/v1/things", json=thing, headers=bearer("bob"))
        assert refused.status_code == 403
        assert refused.json()["required"] == ["inventory:write"]
        assert "insufficient_scope" in refused.headers["www-authenticate"]
        whoami = (await client.get("/v1/whoami", headers=bearer("olga"))).json()
        assert sorted(whoami["scopes"]) == ["operate", "read"]


async def test_in_production_a_key_that_asks_too_often_is_told_when_to_come_again():
    eager = key("eager", "inventory:write", rate_per_s=1, burst=2)
    async with tiny_server(eager, environment="production") as client:
        answers = [await client.get("/v1/whoami", headers=bearer("eager")) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert answers[-1].headers["retry-after"] == "1"
        assert answers[-1].json()["type"] == "/problems/rate-limited"


async def test_in_production_a_key_without_a_rate_of_its_own_may_ask_400_times_at_once():
    async with tiny_server(key("busy", "inventory:write"), environment="production") as client:
        answers = [await client.get("/v1/whoami", headers=bearer("busy")) for _ in range(400)]
        assert {answer.status_code for answer in answers} == {200}


async def test_outside_production_nobody_is_limited():
    eager = key("eager", "inventory:write", rate_per_s=1, burst=1)
    async with tiny_server(eager, environment="development") as client:
        answers = [await client.get("/v1/whoami") for _ in range(5)]
        assert {answer.status_code for answer in answers} == {200}


async def test_who_and_whether_come_before_what():
    """401, 403 and 429 are judged before the body is even read."""
    reader = key("reader", "read", rate_per_s=1, burst=1)
    writer = key("writer", "inventory:write", rate_per_s=1, burst=1)
    huge = {"content": b"{" * 2 * 1024 * 1024}
    async with tiny_server(reader, writer, environment="production") as client:
        assert (await client.post("/v1/things", **huge)).status_code == 401
        for _ in range(2):  # a refusal for lack of scope costs nothing of the rate
            answer = await client.post("/v1/things", **huge, headers=bearer("reader"))
            assert answer.status_code == 403
        assert (
            await client.post("/v1/things", **huge, headers=bearer("writer"))
        ).status_code == 413
        assert (
            await client.post("/v1/things", **huge, headers=bearer("writer"))
        ).status_code == 429


async def test_without_a_live_key_production_is_not_ready_and_says_why():
    async with tiny_server(environment="production") as client:
        answer = await client.get("/health/ready")
        assert answer.status_code == 503
        assert answer.json()["missing"] == ["api-keys"]
        assert "`booking keys create" in answer.json()["detail"]
        assert answer.headers["retry-after"] == "1"
    async with tiny_server(key("alice", "read"), environment="production") as client:
        assert (await client.get("/health/ready")).json() == {"status": "ready", "missing": []}


@pytest.mark.parametrize(
    ("environment", "keys", "warned"),
    [
        ("production", [], True),
        ("production", [key("alice", "read")], False),
        ("development", [], False),
    ],
)
async def test_a_production_that_lets_nobody_in_says_so_when_it_starts(environment, keys, warned):
    part = tiny_part(*keys)
    await part.keys.refresh_once()
    with capture_logs() as lines:
        http_app(part, environment=environment)
    said = [line for line in lines if line["event"] == "nobody_may_call"]
    assert [line["environment"] for line in said] == [environment] * warned
    assert all("booking keys create" in line["remedy"] for line in said)


async def test_ready_names_what_a_part_lacks_and_a_part_that_fails_to_say():
    async def lacking() -> list[str]:
        return ["log-head"]

    async def failing() -> list[str]:
        raise ConnectionError

    assert await http_app(tiny_part(ready=lacking), environment="development").missing() == [
        "log-head"
    ]
    assert await http_app(tiny_part(ready=failing), environment="development").missing() == ["tiny"]


class Keys:
    """A table of keys whose database can be away."""

    def __init__(self) -> None:
        self.keys = [key("alice", "read")]
        self.away = False

    async def load(self):
        if self.away:
            raise ConnectionError("the database is away")
        return self.keys


async def test_a_new_key_is_known_and_a_revoked_one_refused_within_seconds():
    stored = Keys()
    async with KeyTable(stored.load) as table:
        assert table.caller(b"alice")
        stored.keys = [key("bob", "read")]
        assert await eventually(lambda: table.caller(b"bob"), within_s=5)
        assert table.caller(b"alice") is None


async def test_who_was_let_in_would_no_longer_be_once_the_key_is_revoked_or_cannot_be_checked(
    monkeypatch,
):
    stored = Keys()
    table = KeyTable(stored.load)
    await table.refresh_once()
    alice, door = table.caller(b"alice"), Admission(table, environment="development")
    assert door.still_admits(alice)
    assert door.still_admits(ANONYMOUS)
    stored.keys = [key("bob", "read")]
    await table.refresh_once()
    assert not door.still_admits(alice)
    bob = table.caller(b"bob")
    assert door.still_admits(bob)
    monkeypatch.setattr("booking.edge.api_keys.GOOD_FOR_S", -GOOD_FOR_S)
    assert not door.still_admits(bob)
    assert door.still_admits(ANONYMOUS)


async def test_keys_stay_good_while_the_database_is_away(monkeypatch):
    stored = Keys()
    async with KeyTable(stored.load) as table:
        stored.away = True
        with pytest.raises(ConnectionError):
            await table.refresh_once()
        assert table.caller(b"alice")


async def test_keys_nobody_could_read_for_too_long_are_not_trusted(monkeypatch):
    async with tiny_server(key("alice", "read"), environment="production") as client:
        monkeypatch.setattr("booking.edge.api_keys.GOOD_FOR_S", -GOOD_FOR_S)
        answer = await client.get("/v1/whoami", headers=bearer("alice"))
        assert answer.status_code == 503
        assert answer.json()["outcome"] == "did-not-happen"
        assert answer.headers["retry-after"] == "1"


def test_a_bucket_refills_at_its_rate_and_never_beyond_its_burst():
    now = 0.0
    limit = RateLimit(clock=lambda: now)
    caller = Caller(id="a", name="a", scopes=frozenset(), rate_per_s=10, burst=2)
    assert [limit.wait_s(caller) for _ in range(3)] == [0, 0, 0.1]
    now = 0.1
    assert [limit.wait_s(caller) for _ in range(2)] == [0, 0.1]
    now = 100.0
    assert [limit.wait_s(caller) > 0 for _ in range(3)] == [False, False, True]


def test_a_process_remembers_a_bounded_number_of_buckets(monkeypatch):
    monkeypatch.setattr("booking.edge.rate_limit.BUCKETS_MAX", 3)
    limit = RateLimit()
    for name in "abcdef":
        limit.wait_s(Caller(id=name, name=name, scopes=frozenset()))
    assert len(limit._buckets) == 3
