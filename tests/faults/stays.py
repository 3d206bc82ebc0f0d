"""Guests who book overlapping stays at whichever process answers, and a note of all they were told."""

import asyncio
import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import httpx
from api_process import ApiProcess

TIMES = {"starts_at": "2030-01-01T19:00:00Z", "ends_at": "2030-01-02T10:00:00Z"}
POLICY = {"hold_seconds": 2, "units_per_customer_max": 12}
GUESTS_KNOWN = 8
FINAL_AFTER_S = 10
"""What the contract says of a key that is not found."""

EVENTS_OF_COMMANDS = """
SELECT command_id, "position", booking_id::text FROM booking.event_log
WHERE command_id = ANY ($1::text[])
"""
OVERSOLD = "SELECT count(*) FROM booking.slot WHERE held + confirmed > capacity + overbooking_units"
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"


async def open_nights(http: httpx.AsyncClient, number: int, *, capacity: int) -> list[str]:
    """A hotel with nights to book; a limit per customer, and holds that expire meanwhile."""
    hotel = {"name": "Hotel", "time_zone": "UTC", "policy": POLICY}
    made = await http.post("/v1/resources", json=hotel, headers={"Idempotency-Key": str(uuid4())})
    opened = await http.post(
        f"{made.headers['location']}/slots",
        json={"slots": [TIMES | {"capacity": capacity}] * number},
        headers={"Idempotency-Key": str(uuid4())},
    )
    assert opened.status_code == 201, opened.text
    return [night["slot_id"] for night in opened.json()["slots"]]


@dataclass
class Stays:
    """What guests asked for and were told: an answer per key, or none."""

    processes: list[ApiProcess]
    nights: list[str]
    chance: random.Random
    told: dict[str, httpx.Response] = field(default_factory=dict)
    unanswered: dict[str, float] = field(default_factory=dict)
    """By key: when nobody answered it (monotonic)."""
    kills: int = 0
    statuses: Counter = field(default_factory=Counter)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    async def sell(self, *, guests: int) -> None:
        """Let guests ask, one thing after another, until `stopped` is set."""
        customers = [str(UUID(int=self.chance.getrandbits(128))) for _ in range(GUESTS_KNOWN)]
        await asyncio.gather(*(self._guest(customers) for _ in range(guests)))

    async def _guest(self, customers: list[str]) -> None:
        clients = [process.client() for process in self.processes]
        bookings: list[str] = []
        try:
            while not self.stopped.is_set():
                key, http = str(uuid4()), self.chance.choice(clients)
                path, body = self._wish(customers, bookings)
                try:
                    answer = await http.post(path, json=body, headers={"Idempotency-Key": key})
                except httpx.ConnectError:  # never sent, so there is no doubt
                    await asyncio.sleep(0.05)  # polls: the other process, or this one again
                    continue
                except httpx.TransportError:
                    self.unanswered[key] = time.monotonic()
                    continue
                self.told[key] = answer
                self.statuses[answer.status_code] += 1
                if answer.status_code == 201:
                    bookings.append(answer.json()["booking_id"])
        finally:
            await asyncio.gather(*(client.aclose() for client in clients))

    def _wish(self, customers: list[str], bookings: list[str]) -> tuple[str, dict | None]:
        chance = self.chance
        stay = [
            {"slot_id": night, "units": chance.randint(1, 2)}
            for night in chance.sample(self.nights, chance.randint(2, 5))  # in any order
        ]
        if not bookings or chance.random() < 0.5:
            mode = chance.choice(["hold", "book"])
            return "/v1/bookings", {
                "customer_id": chance.choice(customers),
                "mode": mode,
                "lines": stay,
            }
        path = f"/v1/bookings/{chance.choice(bookings)}"
        match chance.choice(["cancel", "cancel", "release", "confirm", "transfer"]):
            case "transfer":
                return f"{path}/transfer", {"customer_id": chance.choice(customers)}
            case verb:
                return f"{path}/{verb}", None

    async def assert_every_promise_was_kept(self, http: httpx.AsyncClient, database) -> int:
        """Nothing oversold, no deadlock, each 2xx found again; returns how many doubts had happened.

        `http` is one that answers; nobody works any more.
        """
        assert set(self.statuses) <= {200, 201, 409}, self.statuses
        assert await database.fetchval(OVERSOLD) == 0
        assert await database.fetchval(DEADLOCKS) == 0
        rows = await database.fetch(EVENTS_OF_COMMANDS, [*self.told, *self.unanswered])
        logged = {row["command_id"]: row for row in rows}
        for key, answer in self.told.items():
            if answer.status_code == 201:
                assert logged[key]["position"] == answer.json()["position"]
                assert logged[key]["booking_id"] == answer.json()["booking_id"]
            elif answer.status_code == 409:
                assert key not in logged
        happened = 0
        for key in self.unanswered:
            found = await http.get(f"/v1/commands/{key}")
            assert found.status_code in {200, 404}
            if key in logged:
                assert found.json()["position"] == logged[key]["position"]
            happened += found.status_code == 200
        kept = self.chance.sample(
            [key for key, answer in self.told.items() if answer.status_code == 201], 20
        )
        for key in kept:
            found = await http.get(f"/v1/commands/{key}")
            assert found.json()["answer"] == json.loads(self.told[key].content)
        return happened

    async def fates(self, http: httpx.AsyncClient) -> dict[str, int]:
        """What `/v1/commands/{key}` says of every unanswered key that is old enough to be final."""
        final = [
            key for key, at_s in self.unanswered.items() if time.monotonic() - at_s > FINAL_AFTER_S
        ]
        return {key: (await http.get(f"/v1/commands/{key}")).status_code for key in final}
