"""One tiny server for the tests that only ask."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from a_tiny_part import tiny_server


@pytest.fixture(scope="session")
async def tiny() -> AsyncIterator[httpx.AsyncClient]:
    async with tiny_server() as client:
        yield client
