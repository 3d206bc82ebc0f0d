"""What keeps slots and resources waits for its own connections, and nobody else waits for it."""

import asyncio

from eventually import eventually
from shop import an_evening

WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


async def test_bookings_go_on_and_the_process_stays_ready_while_the_back_office_waits_for_a_lock(
    shop,
):
    hall, other = await shop.resource(), await shop.slot(5)
    async with shop.database.transaction():
        await shop.database.execute(
            "SELECT FROM booking.resource WHERE resource_id = $1 FOR UPDATE", hall
        )
        opening = asyncio.gather(
            *[
                shop.post(f"/v1/resources/{hall}/slots", {"slots": [an_evening(1)]}, key=f"k-{n}")
                for n in range(12)
            ]
        )
        await eventually(lambda: _waiting(shop, 4))
        assert (await shop.http.get("/health/ready")).status_code == 200
        assert (await shop.take(other)).status_code == 201
    assert {answer.status_code for answer in await opening} <= {201, 503}


async def _waiting(shop, wanted):
    return await shop.database.fetchval(WAITING) >= wanted
