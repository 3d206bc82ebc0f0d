"""When events get their numbers: at the end, and nobody can pass one by; at the beginning, and what commits late stands behind readers' backs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import asyncpg
import pytest
from shop import Shop, open_shop

from booking.embedded.postgres import create_database
from booking.guards import GUARDS, prepare, slow_transactions
from booking.guards.slow_transactions import is_slow

NUMBERS = count(1)
FIRST, LAST = "slow_numbered_first", "slow_numbered_last"


class Gate:
    """Slow transactions take until they are let go."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.open = asyncio.Event()

    async def dawdle(self, commands) -> None:
        if any(is_slow(command.call.command_id) for command in commands):
            self.reached.set()
            await self.open.wait()


@pytest.fixture
def gate(monkeypatch) -> Gate:
    gate = Gate()
    monkeypatch.setattr(slow_transactions, "dawdle", gate.dawdle)
    return gate


@asynccontextmanager
async def prepared(postgres, migrated, guard: str) -> AsyncIterator[Shop]:
    url = await create_database(postgres, f"slow_{next(NUMBERS)}", template=migrated)
    owner = await asyncpg.connect(url)
    await prepare(owner, GUARDS[guard], last_line=True)
    await owner.close()
    async with open_shop(url, guard=guard) as shop:
        yield shop


def a_key(*, slow: bool) -> str:
    return next(key for n in count() if is_slow(key := f"guest-{n}") == slow)


async def positions(database: asyncpg.Connection) -> list[int]:
    rows = await database.fetch("SELECT position FROM booking.event_log ORDER BY position")
    return [row["position"] for row in rows]


@pytest.mark.parametrize("guard", [FIRST, LAST])
async def test_a_reader_by_number_misses_what_commits_late_only_where_numbers_are_drawn_first(
    postgres, migrated, guard, gate
):
    async with prepared(postgres, migrated, guard) as shop, asyncio.timeout(20):
        one, other = await shop.slots(2, capacity=5)
        slow = asyncio.create_task(shop.take(one, key=a_key(slow=True)))
        await gate.reached.wait()
        quick = await shop.take(other, key=a_key(slow=False))
        seen = await positions(shop.database)
        gate.open.set()
        assert [quick.status_code, (await slow).status_code] == [201, 201]
        (late,) = set(await positions(shop.database)) - set(seen)
        assert (late < max(seen)) == (guard == FIRST)
        await shop.assert_books_agree()


async def test_numbers_from_a_sequence_go_on_where_the_log_stands(postgres, migrated, gate):
    gate.open.set()
    async with prepared(postgres, migrated, FIRST) as shop:
        slots = await shop.slots(3, capacity=5)
        await prepare(shop.database, GUARDS[FIRST], last_line=True)
        await shop.booked(slots[0])
        # A resource, three slots and a booking.
        assert await positions(shop.database) == [1, 2, 3, 4, 5]
        await shop.assert_books_agree()


async def test_a_database_whose_log_is_out_of_order_is_marked(postgres, migrated):
    async with prepared(postgres, migrated, FIRST) as shop:
        assert await shop.database.fetchval("SELECT last_line_removed FROM published.head")
