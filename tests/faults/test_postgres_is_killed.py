"""What was acknowledged survives kill -9 of the API and of Postgres; what was not is told by its key."""

import asyncio
import json
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from api_process import api_processes, audit
from eventually import eventually
from killed_postgres import durable_postgres, kill

from booking.edge.migrations import migrate
from booking.embedded.postgres import create_database

REPOSITORY = Path(__file__).parents[2]
TIMES = {"starts_at": "2030-01-01T19:00:00Z", "ends_at": "2030-01-01T22:00:00Z"}
"""Of a slot that everybody wants."""
BLOCKED = """
SELECT count(*) > 0 FROM pg_stat_activity
WHERE application_name = 'booking-batcher' AND wait_event_type = 'Lock'
"""
EVENTS = """
SELECT "position", booking_id::text FROM booking.event_log WHERE command_id = ANY ($1::text[])
"""
EVENTS_OF = "SELECT command_id FROM booking.event_log WHERE command_id = ANY ($1::text[])"
SOLD = "SELECT confirmed FROM booking.slot WHERE slot_id = $1"


@pytest.fixture
async def server(tmp_path):
    async with durable_postgres(tmp_path) as running:
        url = await create_database(running)
        for component in ("booking", "projector"):
            await migrate(url, component=component, folder=REPOSITORY / component / "schema")
        yield running


@asynccontextmanager
async def looking_into(server):
    connection = await asyncpg.connect(server.url(), timeout=10)
    try:
        yield connection
    finally:
        connection.terminate()  # its server may be gone


async def new_slot(http: httpx.AsyncClient) -> str:
    hall = {"name": "Hall", "time_zone": "UTC"}
    made = await http.post("/v1/resources", json=hall, headers={"Idempotency-Key": str(uuid4())})
    opened = await http.post(
        f"{made.headers['location']}/slots",
        json={"slots": [TIMES | {"capacity": 1_000_000}]},
        headers={"Idempotency-Key": str(uuid4())},
    )
    return opened.json()["slots"][0]["slot_id"]


class Buyers:
    """They buy one unit each, again and again; `told` and `unanswered` by key."""

    def __init__(self, http: httpx.AsyncClient, slot: str) -> None:
        self.http, self.slot = http, slot
        self.told: dict[str, httpx.Response] = {}
        self.unanswered: set[str] = set()

    @property
    def accepted(self) -> dict[str, httpx.Response]:
        return {key: answer for key, answer in self.told.items() if answer.status_code == 201}

    async def buy(self, key: str | None = None) -> httpx.Response | None:
        key = key or str(uuid4())
        body = {
            "customer_id": str(uuid4()),
            "mode": "book",
            "lines": [{"slot_id": self.slot, "units": 1}],
        }
        self.unanswered.add(key)
        try:
            answer = await self.http.post(
                "/v1/bookings", json=body, headers={"Idempotency-Key": key}
            )
        except httpx.TransportError:
            return None
        self.unanswered.discard(key)
        self.told[key] = answer
        return answer

    async def go_on(self, number: int) -> None:
        """`number` of them, each until the first answer that is not a booking."""

        async def one() -> None:
            answer = await self.buy()
            while answer is not None and answer.status_code == 201:
                answer = await self.buy()

        await asyncio.gather(*(one() for _ in range(number)))


async def test_while_postgres_is_away_every_command_is_answered_and_afterwards_none_is_in_doubt(
    server, tmp_path
):
    async with api_processes(server.url(), tmp_path, "api") as (api,):
        await api.start()
        async with api.client() as http:
            buyers = Buyers(http, await new_slot(http))
            slot = UUID(buyers.slot)
            async with looking_into(server) as other:
                # Somebody holds the slot's row, so a batch is in the middle of its call; others queue.
                await asyncio.gather(*(buyers.buy() for _ in range(20)))
                await other.execute("BEGIN")
                await other.execute("SELECT FROM booking.slot WHERE slot_id = $1 FOR UPDATE", slot)
                in_the_call = asyncio.create_task(buyers.buy())
                async with looking_into(server) as watch:
                    await eventually(lambda: watch.fetchval(BLOCKED))
                in_the_queue = [asyncio.create_task(buyers.buy()) for _ in range(9)]
                await eventually(lambda: len(buyers.unanswered) == 10)
                # The queued ones have arrived when a later request has been answered.
                assert (await http.get("/health/live")).status_code == 200
                await kill(server)

            hall = {"name": "Hall", "time_zone": "UTC"}
            too_late = http.post("/v1/resources", json=hall, headers={"Idempotency-Key": "hall"})
            answers = await asyncio.gather(in_the_call, *in_the_queue, too_late)
            assert [answer.status_code for answer in answers] == [503] * 11
            for answer in answers:
                assert answer.json()["type"] == "/problems/database-unavailable"
                assert int(answer.headers["retry-after"]) >= 1
            outcomes = [answer.json()["outcome"] for answer in answers]
            assert outcomes[:10] == ["may-have-happened"] + ["did-not-happen"] * 9
            # On a connection that died unseen nobody can tell whether the last one was heard.
            assert outcomes[10] in {"may-have-happened", "did-not-happen"}

            lookup = await http.get(f"/v1/commands/{next(iter(buyers.told))}")
            assert lookup.status_code == 503, lookup.text
            assert lookup.json()["type"] == "/problems/database-unavailable"
            assert lookup.json()["outcome"] == "may-have-happened"  # it was: nobody can know now
            ready = await http.get("/health/ready")
            assert ready.status_code == 503
            assert (await http.get("/health/live")).status_code == 200

            await server.start()
            await eventually(api.is_ready, within_s=15)
            for key, answer in buyers.told.items():
                found = await http.get(f"/v1/commands/{key}")
                if answer.status_code == 201:
                    assert found.json()["answer"] == json.loads(answer.content)
                elif answer.json()["outcome"] == "did-not-happen":
                    assert found.status_code == 404
                else:
                    assert found.status_code in {200, 404}
            assert (await buyers.buy()).status_code == 201
    async with looking_into(server) as database:
        assert await database.fetchval(SOLD, slot) == len(buyers.accepted) == 21


async def test_what_was_acknowledged_survives_kill_9_of_api_and_postgres_in_the_middle_of_a_sale(
    server, tmp_path
):
    async with api_processes(server.url(), tmp_path, "api") as (api,):
        await api.start()
        async with api.client() as http:
            buyers = Buyers(http, await new_slot(http))
            selling = asyncio.create_task(buyers.go_on(20))
            await eventually(lambda: len(buyers.told) >= 300, within_s=20)
            await kill(server)
            await server.start()  # those in flight are run again, by their ids
            before = len(buyers.accepted)
            await eventually(lambda: len(buyers.accepted) >= before + 100, within_s=20)
            await asyncio.gather(kill(server), api.kill())
            await selling
            assert {answer.status_code for answer in buyers.told.values()} == {201}

        await server.start()
        await api.start()
        async with api.client() as http, looking_into(server) as database:
            assert await database.fetchval("SHOW fsync") == "on"
            keys = [*buyers.accepted]
            logged = {
                row["position"]: row["booking_id"] for row in await database.fetch(EVENTS, keys)
            }
            for answer in buyers.accepted.values():
                booking = answer.json()
                assert logged[booking["position"]] == booking["booking_id"]
            assert len(logged) == len(keys)

            doubts = [*buyers.unanswered]
            assert len(doubts) == 20
            found = {key: (await http.get(f"/v1/commands/{key}")).status_code for key in doubts}
            happened = {row["command_id"] for row in await database.fetch(EVENTS_OF, doubts)}
            assert {key for key, status in found.items() if status == 200} == happened
            assert set(found.values()) <= {200, 404}
            sold = await database.fetchval(SOLD, UUID(buyers.slot))
            assert sold == len(keys) + len(happened)
        code, said = await audit(server.url())
        assert code == 0, said
