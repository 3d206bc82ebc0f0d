"""Each mistake that the product does not make, made beside it: with it the anomaly is there, without it not.

They are not guards that forget to count (`test_the_guard_family.py`), but what else goes wrong around a
guard: stays of some nights only.
"""

import asyncpg
import pytest
from shop import Shop, open_shop

NIGHTS = 4


async def nights(shop: Shop, *, sold_out: int) -> list[str]:
    """Slots of one unit in the order of their ids, which is the order of taking; one of them is sold."""
    slots = sorted(await shop.slots(NIGHTS, capacity=1))
    await shop.booked(slots[sold_out])
    return slots


async def live_lines(database: asyncpg.Connection) -> int:
    """Of bookings of more than one line, and of those that should have had more."""
    return await database.fetchval(
        """
        SELECT count(*) FROM booking.booking_line JOIN booking.booking USING (booking_id)
        WHERE state IN ('held', 'confirmed')
        """
    )


@pytest.mark.parametrize(("guard", "left_behind"), [(None, 0), ("line_by_line", 2)])
@pytest.mark.parametrize("mode", ["book", "hold"])
async def test_a_stay_that_is_refused_for_its_third_night_leaves_nothing_unless_taken_line_by_line(
    database_url, guard, left_behind, mode
):
    async with open_shop(database_url, guard=guard) as shop:
        wanted = await nights(shop, sold_out=2)
        answer = await shop.take(dict.fromkeys(wanted, 1), mode=mode)
        assert (answer.status_code, answer.json()["type"]) == (409, "/problems/capacity-exceeded")
        assert await live_lines(shop.database) == 1 + left_behind
        await shop.assert_books_agree()


@pytest.mark.parametrize(("guard", "kept"), [(None, 2), ("line_by_line", 1)])
async def test_a_stay_that_cannot_be_moved_keeps_its_nights_unless_moved_line_by_line(
    database_url, guard, kept
):
    async with open_shop(database_url, guard=guard) as shop:
        now, wanted = await shop.slots(2, capacity=1), await nights(shop, sold_out=1)
        stay = await shop.booked(dict.fromkeys(now, 1))
        lines = [{"slot_id": slot, "units": 1} for slot in wanted]
        moved = await shop.post(
            f"/v1/bookings/{stay}/reschedule", {"lines": lines}, key="move", if_match="*"
        )
        assert moved.status_code == 409
        assert await live_lines(shop.database) == 1 + kept
        await shop.assert_books_agree()


async def test_a_stay_that_finds_all_its_nights_is_the_same_line_by_line(database_url):
    async with open_shop(database_url, guard="line_by_line") as shop:
        wanted = dict.fromkeys(await shop.slots(NIGHTS, capacity=2), 2)
        answer = await shop.take(wanted)
        assert (answer.status_code, answer.headers["location"]) == (
            201,
            f"/v1/bookings/{answer.json()['booking_id']}",
        )
        assert {line["slot_id"]: line["units"] for line in answer.json()["lines"]} == wanted
        assert (await shop.order("cancel", answer.json()["booking_id"])).status_code == 200
        assert await live_lines(shop.database) == 0
        await shop.assert_books_agree()
