"""A small sale over HTTP: a hall, many buyers, and a note of every answer."""

import asyncio
from dataclasses import dataclass, field
from uuid import uuid4

import httpx

STARTS, ENDS = "2030-01-01T19:00:00Z", "2030-01-01T22:00:00Z"


async def open_slot(client: httpx.AsyncClient, *, capacity: int) -> str:
    """A new resource with one slot; returns its slot_id."""
    resource = await client.post(
        "/v1/resources",
        json={"name": "Hall A", "time_zone": "Europe/Amsterdam"},
        headers={"Idempotency-Key": str(uuid4())},
    )
    assert resource.status_code == 201, resource.text
    slots = await client.post(
        f"/v1/resources/{resource.json()['resource_id']}/slots",
        json={"slots": [{"starts_at": STARTS, "ends_at": ENDS, "capacity": capacity}]},
        headers={"Idempotency-Key": str(uuid4())},
    )
    assert slots.status_code == 201, slots.text
    return slots.json()["slots"][0]["slot_id"]


async def book(
    client: httpx.AsyncClient,
    slot_id: str,
    *,
    key: str | None = None,
    units: int = 1,
    mode: str = "book",
) -> httpx.Response:
    """One attempt."""
    return await client.post(
        "/v1/bookings",
        json={
            "customer_id": str(uuid4()),
            "mode": mode,
            "lines": [{"slot_id": slot_id, "units": units}],
        },
        headers={"Idempotency-Key": key or str(uuid4())},
    )


@dataclass
class Sale:
    """What buyers were told: an answer per key, or none."""

    client: httpx.AsyncClient
    slot_id: str
    accepted: dict[str, dict] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    unanswered: set[str] = field(default_factory=set)

    async def run(self, *, buyers: int) -> None:
        """Let `buyers` buy, each again and again, until nobody answers any more."""
        await asyncio.gather(*(self._buy() for _ in range(buyers)))

    async def _buy(self) -> None:
        while True:
            key = str(uuid4())
            self.unanswered.add(key)
            try:
                answer = await book(self.client, self.slot_id, key=key, units=1 + len(key) % 2)
            except httpx.HTTPError:
                return
            self.unanswered.discard(key)
            if answer.status_code == 201:
                self.accepted[key] = answer.json()
            else:
                self.refused[key] = answer.status_code
