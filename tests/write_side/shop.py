"""A write side of a test's own, over real HTTP, with builders that supply what a claim is not about."""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
from plain_http import plain_http

from booking.app import open_part
from booking.edge.serving import bind, http_app, serve, url_of
from booking.guards.laboratory import remove_the_last_line
from booking.settings import Settings

ADA = "0190c2a0-0000-7000-8000-00000000000a"
BOB = "0190c2a0-0000-7000-8000-00000000000b"


class Shop:
    """An API process and what its customers do."""

    def __init__(self, http: httpx.AsyncClient, database: asyncpg.Connection) -> None:
        self.http = http
        self.database = database

    async def post(
        self, path: str, body: object = None, *, key: str | None = None, **headers: str
    ) -> httpx.Response:
        """`body` None sends none at all; headers as `if_match='"7"'`."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            sent["idempotency-key"] = key
        if body is None:
            return await self.http.post(path, headers=sent)
        return await self.http.post(path, json=body, headers=sent)

    async def resource(self, **policy: int) -> str:
        answer = await self.post(
            "/v1/resources",
            {"name": "Hall A", "time_zone": "Europe/Amsterdam", "policy": policy},
            key=str(uuid4()),
        )
        assert answer.status_code == 201, answer.text
        return answer.json()["resource_id"]

    async def slots(
        self, number: int = 1, *, capacity: int, resource: str | None = None, **policy: int
    ) -> list[str]:
        answer = await self.post(
            f"/v1/resources/{resource or await self.resource(**policy)}/slots",
            {"slots": [an_evening(capacity) for _ in range(number)]},
            key=str(uuid4()),
        )
        assert answer.status_code == 201, answer.text
        return [slot["slot_id"] for slot in answer.json()["slots"]]

    async def slot(self, capacity: int, **policy: int) -> str:
        return (await self.slots(1, capacity=capacity, **policy))[0]

    async def take(
        self,
        lines: dict[str, int] | str,
        *,
        mode: str = "book",
        key: str | None = None,
        customer: str = ADA,
        **members: object,
    ) -> httpx.Response:
        """One unit of a slot, or the units of several; a new key unless one is given."""
        wanted = {lines: 1} if isinstance(lines, str) else lines
        body = {
            "mode": mode,
            "customer_id": customer,
            "lines": [{"slot_id": slot, "units": units} for slot, units in wanted.items()],
            **members,
        }
        return await self.post("/v1/bookings", body, key=key or str(uuid4()))

    async def held(self, lines: dict[str, int] | str, **members: object) -> str:
        answer = await self.take(lines, mode="hold", **members)
        assert answer.status_code == 201, answer.text
        return answer.json()["booking_id"]

    async def booked(self, lines: dict[str, int] | str) -> str:
        answer = await self.take(lines)
        assert answer.status_code == 201, answer.text
        return answer.json()["booking_id"]

    async def order(self, verb: str, booking: str, **headers: Any) -> httpx.Response:
        """confirm, release, cancel."""
        return await self.post(f"/v1/bookings/{booking}/{verb}", **headers)

    async def head(self) -> int:
        """The log's last position."""
        return await self.database.fetchval('SELECT "position" FROM booking.log_head')

    async def log(self) -> list[asyncpg.Record]:
        return await self.database.fetch('SELECT * FROM booking.event_log ORDER BY "position"')

    async def slot_states(self) -> dict[tuple[str, int], dict[str, Any]]:
        """Every state a slot was ever in, by (slot, version), from the log."""
        return {
            (change["slot_id"], change["version"]): change
            for event in await self.log()
            for change in json.loads(event["slots"])
        }

    async def oversold(self, slot: str) -> int:
        """By how many units, from the slot's own row."""
        row = await self.database.fetchrow(
            "SELECT * FROM booking.slot WHERE slot_id = $1", UUID(slot)
        )
        return max(0, row["held"] + row["confirmed"] - row["capacity"] - row["overbooking_units"])

    async def assert_books_agree(self) -> None:
        """Counters = live bookings = fold of the log; positions and versions without holes."""
        log = await self.log()
        assert [event["position"] for event in log] == list(range(1, await self.head() + 1))
        folded: dict[str, dict[str, Any]] = {}
        versions = defaultdict(list)
        sums: dict[str, int] = defaultdict(int)
        for event in log:
            for change in json.loads(event["slots"]):
                folded[change["slot_id"]] = change
                versions[change["slot_id"]].append(change["version"])
                sums[change["slot_id"]] += change["units"]
        live: dict[tuple[str, str], int] = defaultdict(int)
        for row in await self.database.fetch(
            "SELECT slot_id, state, units FROM booking.booking JOIN booking.booking_line USING (booking_id)"
        ):
            live[str(row["slot_id"]), row["state"]] += row["units"]
        for row in await self.database.fetch("SELECT * FROM booking.slot"):
            slot = str(row["slot_id"])
            assert versions[slot] == list(range(1, row["version"] + 1))
            assert (folded[slot]["held"], folded[slot]["confirmed"]) == (
                row["held"],
                row["confirmed"],
            )
            assert (live[slot, "held"], live[slot, "confirmed"]) == (row["held"], row["confirmed"])
            assert sums[slot] == row["held"] + row["confirmed"]


def an_evening(capacity: int, **members: object) -> dict[str, object]:
    return {
        "starts_at": "2030-01-01T19:00:00Z",
        "ends_at": "2030-01-01T22:00:00Z",
        "capacity": capacity,
        **members,
    }


async def all_at_once(
    orders: list[Callable[[], Coroutine[Any, Any, httpx.Response]]],
) -> list[httpx.Response]:
    """Everybody waits at a starting gate; it opens when the last one stands there."""
    gate = asyncio.Barrier(len(orders))

    async def run(order: Callable[[], Coroutine[Any, Any, httpx.Response]]) -> httpx.Response:
        async with gate:
            pass
        return await order()

    return await asyncio.gather(*(run(order) for order in orders))


@asynccontextmanager
async def open_shop(
    database_url: str,
    *,
    nats_url: str = "nats://127.0.0.1:1",
    guard: str | None = None,
    last_line: bool = True,
    environment: str | None = None,
    headers: dict[str, str] | None = None,
    sweeping: bool = True,
) -> AsyncIterator[Shop]:
    """The write side on a free port. Without NATS unless told: it must not need it."""
    environment = environment or ("laboratory" if guard else "development")
    settings = Settings(
        database_url=database_url, nats_url=nats_url, environment=environment, guard=guard
    )
    database = await asyncpg.connect(database_url)
    if not last_line:
        await remove_the_last_line(database)
    stop = asyncio.Event()
    try:
        async with open_part(settings, sweeping=sweeping) as part:
            bound = bind("127.0.0.1", 0, environment=environment)
            url = url_of(bound)
            serving = asyncio.create_task(
                serve(http_app(part, environment=environment), sockets=[bound], stop=stop)
            )
            limits = httpx.Limits(max_connections=100, max_keepalive_connections=100)
            async with plain_http(url, limits=limits, timeout=30, headers=headers) as http:
                yield Shop(http, database)
            stop.set()
            await serving
    finally:
        await database.close()
