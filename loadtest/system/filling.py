"""A past for a system: bookings that were there before an experiment begins, and that nobody cancels."""

import asyncio
from collections.abc import Sequence
from random import Random

import msgspec

from loadtest.driver import Client
from loadtest.failures import CannotRunError
from loadtest.system.inventory import seeded_id

AT_ONCE = 32
UNITS_MAX = 3


async def fill(client: Client, slot_ids: Sequence[str], bookings: int, rng: Random) -> None:
    """Makes so many bookings of one to three units each, on slots drawn from these.

    Raises:
        CannotRunError: one was refused.
    """
    wanted = iter(
        [
            (
                seeded_id(rng),
                {
                    "customer_id": seeded_id(rng),
                    "mode": "book",
                    "lines": [
                        {"slot_id": rng.choice(slot_ids), "units": rng.randint(1, UNITS_MAX)}
                    ],
                },
            )
            for _ in range(bookings)
        ]
    )

    async def book() -> None:
        for key, body in wanted:
            answer = await client.request(
                "POST",
                "/v1/bookings",
                body=msgspec.json.encode(body),
                headers=[("Idempotency-Key", key)],
            )
            if answer.outcome != "ok":
                raise CannotRunError(f"A booking beforehand was refused ({answer.status}).")

    await asyncio.gather(*(book() for _ in range(AT_ONCE)))
