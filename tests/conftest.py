"""The real servers, shared by a session, and a fresh migrated database for every test."""

import gc
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import asyncpg
import pytest

from booking.edge.migrations import migrate
from booking.embedded.nats_server import NatsServer
from booking.embedded.postgres import Postgres, create_database

REPOSITORY = Path(__file__).parent.parent
SCHEMAS = {"booking": REPOSITORY / "booking/schema", "projector": REPOSITORY / "projector/schema"}
MEMORY = Path("/dev/shm")  # noqa: S108  directories of our own are made in it
ROOM_B = 4 << 30
LONGEST_FIRST = (
    *("whole_system", "laboratory", "faults", "docs", "deployment", "bench"),  # start whole systems
    *("write_side", "read_side"),
)
_numbers = count(1)

# Data directories come and go by the hundred, with a thousand files each. In memory, where there is room,
# one is made with half of the work; and ext4 copies a database ten times slower after 300 others were
# dropped: it does not use the inodes of files deleted lately, and searches past all of them.
if "TMPDIR" not in os.environ and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM_B:
    os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)

# Helpers for tests (`from eventually import eventually`) lie beside this file.
sys.path.insert(0, str(Path(__file__).parent))


def pytest_collection() -> None:
    """Look for no garbage while all tests are imported: nothing of them is, and it took a third of the time."""
    gc.disable()


def pytest_collection_finish() -> None:
    """From here on, look for it among what the tests leave."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the folders with the longest files first: in the end no worker is left alone with one."""
    ranks = {name: rank for rank, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: ranks.get(item.path.parent.name, len(ranks)))


@pytest.fixture(scope="session")
async def postgres(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Postgres]:
    """One server for the whole session; what it holds need not survive a crash."""
    async with Postgres(tmp_path_factory.mktemp("postgres") / "data", durable=False) as server:
        yield server


@pytest.fixture(scope="session")
async def migrated(postgres: Postgres) -> str:
    """The name of a database with every migration applied; only ever copied."""
    url = await create_database(postgres, "migrated")
    for component, folder in SCHEMAS.items():
        await migrate(url, component=component, folder=folder)
    return "migrated"


@pytest.fixture
async def empty_database_url(postgres: Postgres) -> AsyncIterator[str]:
    """A database of this test only, without any schema of ours."""
    name = f"empty_{next(_numbers)}"
    yield await create_database(postgres, name)
    await _drop(postgres, name)


@pytest.fixture
async def database_url(postgres: Postgres, migrated: str) -> AsyncIterator[str]:
    """The URL of a database of this test only, migrated; its login is a member of all roles."""
    name = f"test_{next(_numbers)}"
    yield await create_database(postgres, name, template=migrated)
    await _drop(postgres, name)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to `database_url` as superuser."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
async def nats_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[NatsServer]:
    """One NATS server for the whole session; streams in it are shared by all tests."""
    async with NatsServer(tmp_path_factory.mktemp("nats") / "store") as server:
        yield server


@pytest.fixture(scope="session")
async def nats_url(nats_server: NatsServer) -> str:
    """The URL of the session's NATS server."""
    return nats_server.url


@pytest.fixture
async def fresh_nats(tmp_path: Path) -> AsyncIterator[NatsServer]:
    """A NATS server of this test only: `.url`, `.monitoring_url`, `.child`, `.stop()`."""
    async with NatsServer(tmp_path / "nats") as server:
        yield server


async def _drop(postgres: Postgres, name: str) -> None:
    connection = await asyncpg.connect(postgres.url("postgres"), timeout=10)
    await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)', timeout=30)
    await connection.close()
