"""The embedded servers: quick to come, certain to go, and nothing lost in between."""

import asyncio
import json
import tempfile
from urllib.request import urlopen

import asyncpg
import nats

from booking.embedded.nats_server import NatsServer
from booking.embedded.postgres import Postgres


async def test_a_database_of_a_test_is_migrated_and_its_own(database: asyncpg.Connection) -> None:
    """The epoch and the first position are there as soon as a test begins."""
    assert await database.fetchval("SELECT position FROM published.head") == 0


async def test_nats_answers_on_the_port_it_chose(fresh_nats: NatsServer) -> None:
    client = await nats.connect(fresh_nats.url)
    assert (await client.jetstream().account_info()).streams == 0
    await client.close()


async def test_nats_leaves_the_other_cores_to_the_rest_of_the_system(
    fresh_nats: NatsServer,
) -> None:
    def server_variables() -> dict:
        with urlopen(f"{fresh_nats.monitoring_url}/varz") as answer:  # noqa: S310 our own loopback
            return json.load(answer)

    assert (await asyncio.to_thread(server_variables))["gomaxprocs"] == 1


async def test_what_was_committed_is_there_after_a_restart(tmp_path) -> None:
    for run in (1, 2):
        async with Postgres(tmp_path / "data", durable=True) as postgres:
            connection = await asyncpg.connect(postgres.url("postgres"))
            await connection.execute("CREATE TABLE IF NOT EXISTS runs (run int)")
            await connection.execute("INSERT INTO runs VALUES ($1)", run)
            assert await connection.fetchval("SELECT count(*) FROM runs") == run
            await connection.close()
        assert not postgres.socket_dir.exists()
        assert not (tmp_path / "data.sockets").exists()


async def test_a_new_data_directory_is_on_the_disk_before_anything_is_promised(tmp_path) -> None:
    async with Postgres(tmp_path / "data", durable=True) as postgres:
        assert (tmp_path / "data.unsynced").exists()
        await postgres.settled()
        assert not (tmp_path / "data.unsynced").exists()


async def test_neither_a_deep_data_directory_nor_a_deep_temp_directory_is_too_deep(
    tmp_path, monkeypatch
) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    async with Postgres(deep / "data", durable=False) as postgres:
        connection = await asyncpg.connect(postgres.url("postgres"))
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()


async def test_a_data_directory_may_be_called_as_people_call_things(tmp_path) -> None:
    folder = tmp_path / "Ada's plans, 100% & more"
    async with Postgres(folder / "data", durable=False) as postgres:
        connection = await asyncpg.connect(postgres.url("postgres"))
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()
