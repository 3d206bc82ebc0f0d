"""Shops to test in: the product's, and the laboratory's without a guard."""

from collections.abc import AsyncIterator

import pytest
from shop import Shop, open_shop

from booking.embedded.postgres import Postgres, create_database


@pytest.fixture
async def shop(database_url: str) -> AsyncIterator[Shop]:
    """The write side as the product runs it, without NATS."""
    async with open_shop(database_url) as open_now:
        yield open_now


@pytest.fixture
async def unswept_shop(database_url: str) -> AsyncIterator[Shop]:
    """The product's, with nobody to expire holds but those who need their units."""
    async with open_shop(database_url, sweeping=False) as open_now:
        yield open_now


@pytest.fixture
async def unguarded_shop(database_url: str) -> AsyncIterator[Shop]:
    """The laboratory's: no guard, no last line of defence."""
    async with open_shop(database_url, guard="unguarded", last_line=False) as open_now:
        yield open_now


@pytest.fixture
async def shop_on_its_last_line(database_url: str) -> AsyncIterator[Shop]:
    """The laboratory's: no guard, but the constraint still stands."""
    async with open_shop(database_url, guard="unguarded") as open_now:
        yield open_now


@pytest.fixture(scope="module")
async def one_shop(
    postgres: Postgres, migrated: str, request: pytest.FixtureRequest
) -> AsyncIterator[Shop]:
    """One write side for all claims of a file that need no database to themselves."""
    url = await create_database(postgres, request.module.__name__, template=migrated)
    async with open_shop(url) as open_now:
        yield open_now
