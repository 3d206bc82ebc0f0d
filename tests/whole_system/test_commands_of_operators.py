"""`booking keys`, `booking migrate` and `booking api`, used beside a running system."""

import asyncio
import json

import pytest
from eventually import eventually
from running import Up, alive, booking, running, start_child
from sale import book, open_slot

INITIAL = "a-first-key-for-the-tests-only"


@pytest.fixture(scope="module")
async def production(tmp_path_factory):
    """A system that wants keys, with its first one."""
    environ = {"BOOKING_ENVIRONMENT": "production", "BOOKING_INITIAL_KEY": INITIAL}
    async with running(tmp_path_factory.mktemp("up") / "data", environ=environ) as up:
        yield up


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def test_the_first_key_may_do_everything_and_nobody_may_do_anything_without(
    production: Up,
) -> None:
    async with production.client() as client:
        assert (await client.get("/v1/consistency")).status_code == 401
        client.headers.update(bearer(INITIAL))
        assert (await client.get("/v1/consistency")).status_code == 200
        assert await open_slot(client, capacity=1)


async def test_a_key_works_when_made_and_not_when_revoked(production: Up) -> None:
    at = ("--data-dir", str(production.data_dir))
    made = await booking("keys", "create", "box-office", "--scope", "bookings:write", *at)
    assert made.code == 0, made.error
    key = made.output.strip()
    async with production.client() as client:
        client.headers.update(bearer(INITIAL))
        slot_id = await open_slot(client, capacity=10)
        client.headers.update(bearer(key))

        async def status() -> int:
            return (await book(client, slot_id)).status_code

        async def sells() -> bool:
            return await status() == 201

        async def is_refused() -> bool:
            return await status() == 401

        await eventually(sells, within_s=5)
        listed = json.loads((await booking("keys", "list", "--json", *at)).output)
        assert {"box-office", "initial"} <= {each["name"] for each in listed}
        assert key not in json.dumps(listed)
        assert (await booking("keys", "revoke", "box-office", *at)).code == 0
        await eventually(is_refused, within_s=5)


async def test_the_list_of_keys_tells_by_columns_what_revoking_and_finding_them_again_needs(
    production: Up,
) -> None:
    at = ("--data-dir", str(production.data_dir))
    ada = "0190c2a0-0000-7000-8000-000000000001"
    limits = ("--customer", ada, "--rate", "7", "--burst", "9")
    made = await booking("keys", "create", "ada", "--scope", "bookings:own", *limits, "--json", *at)
    key_id = json.loads(made.output)["key_id"]
    assert (await booking("keys", "revoke", key_id, *at)).output == "ada is revoked.\n"
    shown = (await booking("keys", "list", *at)).output.splitlines()
    assert shown[0].split() == [
        *("name", "state", "scopes", "customer", "rate", "burst", "revoked", "id")
    ]
    [initial] = [line.split() for line in shown if line.startswith("initial ")]
    assert initial[1] == "live"
    assert initial[3:7] == ["-"] * 4
    [line] = [line.split() for line in shown if line.startswith("ada ")]
    revoked_at = line.pop(6)
    assert line == ["ada", "revoked", "bookings:own", ada, "7", "9", key_id]
    listed = json.loads((await booking("keys", "list", "--json", *at)).output)
    [told] = [each for each in listed if each["name"] == "ada"]
    assert told["revoked_at"].startswith(revoked_at.removesuffix("Z"))


async def test_migrating_again_finds_nothing_to_do(production: Up) -> None:
    ended = await booking("migrate", "--data-dir", str(production.data_dir))
    assert (ended.code, ended.output) == (0, "nothing to do\n")


async def test_of_three_first_migrations_at_once_each_step_is_done_once(
    empty_database_url: str,
) -> None:
    environ = {"BOOKING_DATABASE_URL": empty_database_url}
    ended = await asyncio.gather(*(booking("migrate", environ=environ) for _ in range(3)))
    assert [each.code for each in ended] == [0, 0, 0], [each.error for each in ended]
    applied = [line for each in ended for line in each.output.splitlines() if line.endswith(".sql")]
    assert len(applied) == len(set(applied)) >= 2, "each file by one of them, and only once"


async def test_the_write_side_alone_serves_until_it_is_told_to_stop(
    production: Up, tmp_path
) -> None:
    """`booking api` finds the servers of a running `booking up`, and needs none of its parts."""
    environ = {"BOOKING_PORT": "0", "BOOKING_ENVIRONMENT": "production"}
    api = await start_child("api", "--data-dir", str(production.data_dir), environ=environ)
    line = await api.said('"event":"serving"')
    async with production.client() as client:
        client.headers.update(bearer(INITIAL))
        client.base_url = json.loads(line)["url"]
        assert await open_slot(client, capacity=1)
        assert (await client.get("/v1/consistency")).status_code == 404
    assert await api.stop() == 0
    assert not alive([api.process.pid])
