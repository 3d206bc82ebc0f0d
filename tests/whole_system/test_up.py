"""`booking up`: everything with one command, and nothing left when it goes."""

import asyncio
import json
import os
import signal

import pytest
from eventually import eventually
from plain_http import plain_http
from running import Up, alive, booking, running, start_child, start_up
from sale import book, open_slot


@pytest.fixture(scope="module")
async def up(tmp_path_factory):
    """One system for the tests that do it no harm."""
    async with running(tmp_path_factory.mktemp("up") / "data") as up:
        yield up


async def test_it_serves_commands_and_queries_on_one_port(up: Up) -> None:
    async with up.client() as client:
        slot_id = await open_slot(client, capacity=10)
        held = await book(client, slot_id, units=3, mode="hold")
        assert held.status_code == 201
        token = held.headers["Consistency-Token"]
        seen = await client.get(f"/v1/slots/{slot_id}", headers={"Consistency-Token": token})
        assert seen.status_code == 200
        assert (seen.json()["held"], seen.json()["remaining"]) == (3, 7)

        booking = f"/v1/bookings/{held.json()['booking_id']}"
        confirmed = await client.post(f"{booking}/confirm")
        assert confirmed.json()["state"] == "confirmed"
        token = confirmed.headers["Consistency-Token"]
        told = await client.get(booking, headers={"Consistency-Token": token})
        assert told.json()["state"] == "confirmed"


async def test_its_run_file_is_for_its_owner_only_and_tells_where_everything_is(up: Up) -> None:
    assert (up.data_dir / "run.json").stat().st_mode & 0o777 == 0o600
    told = up.run_file
    assert told["pid"] == up.process.pid
    assert told["url"] == up.url
    for name in ("database_url", "migration_database_url", "nats_url", "nats_monitoring_url"):
        assert told[name]


async def test_one_listener_shows_the_metrics_of_every_process(up: Up) -> None:
    async with up.client() as client:
        shown = await client.get(f"{up.run_file['metrics_url']}/metrics")
    for process in ("up", "relay", "projector"):
        assert f'process_up{{process="{process}"}} 1.0' in shown.text


async def test_a_part_that_dies_is_started_again(up: Up) -> None:
    for part in ("booking.cli relay", "projector.cli run", "nats-server", "postgres -D"):
        (pid,) = [pid for pid, command in up.family().items() if part in command]
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda pid=pid: not alive([pid]))

        async def it_works_again() -> bool:
            async with up.client() as client:
                slot_id = await open_slot(client, capacity=1)
                seen = await client.get(
                    f"/v1/slots/{slot_id}",
                    headers={"Cache-Control": "no-cache", "Prefer": "wait=5"},
                )
                return seen.status_code == 200

        await eventually(it_works_again, within_s=30, because=f"works again without {part}")


async def test_another_api_beside_it_takes_its_servers_and_in_development_needs_no_key(
    up: Up,
) -> None:
    another = await start_child(
        *("api", "--data-dir", str(up.data_dir)),
        environ={"BOOKING_ENVIRONMENT": "development", "BOOKING_PORT": "0"},
    )
    try:
        url = json.loads(await another.said('"serving"'))["url"]
        async with plain_http(url) as there, up.client() as here:
            slot_id = await open_slot(here, capacity=1)
            assert (await book(there, slot_id)).status_code == 201
            assert (await book(here, slot_id)).status_code == 409
    finally:
        await another.stop()


async def test_in_production_without_a_key_it_says_how_to_make_one_and_is_ready_when_it_is_made(
    tmp_path,
) -> None:
    up = await start_up(tmp_path / "data", environ={"BOOKING_ENVIRONMENT": "production"})
    try:
        for said in ("nobody_may_call", "waiting"):

            def how(said: str = said) -> bool:
                lines = [line for line in up.log.read_text().splitlines() if f'"{said}"' in line]
                return any("`booking keys create" in line for line in lines)

            await eventually(how, within_s=30, because=f"{said} is said with its remedy")
        made = await booking(
            *("keys", "create", "first", "--scope", "operate", "--data-dir", str(up.data_dir))
        )
        assert made.code == 0, made.error
        await up.ready()
    finally:
        await up.kill()
        await up.process.communicate()


async def test_a_relay_that_is_started_again_is_struck_again_by_the_fault_of_an_experiment(
    tmp_path,
) -> None:
    experiment = {"BOOKING_ENVIRONMENT": "laboratory", "BOOKING_FAULT": "kill_in_append:1"}
    async with running(tmp_path / "data", environ=experiment) as up, up.client() as client:

        async def struck_twice() -> bool:
            await open_slot(client, capacity=1)
            return up.log.read_text().count("fault_strikes") > 1

        await eventually(struck_twice, within_s=20)


async def test_it_ends_in_order_with_a_stream_open_and_what_was_sold_is_sold_after_a_restart(
    tmp_path,
) -> None:
    up = await (await start_up(tmp_path / "data")).ready()
    async with up.client() as client:
        slot_id = await open_slot(client, capacity=5)
        assert (await book(client, slot_id, units=4)).status_code == 201
        stream = client.stream("GET", "/v1/availability/stream", params={"slot_id": slot_id})
        async with stream as answer:
            assert answer.status_code == 200
            lines = answer.aiter_lines()
            await anext(lines)
            family = up.family()
            assert await up.stop(signal.SIGINT) == 0
    rest = await up.process.stdout.read()
    assert rest == b"", "one line is all that belongs on standard output"
    assert alive(family) == []
    assert not (tmp_path / "data/run.json").exists()

    async with running(tmp_path / "data") as up, up.client() as client:
        # Ready means that the read model has caught up: no token, no waiting.
        assert (await client.get(f"/v1/slots/{slot_id}")).json()["remaining"] == 1
        assert (await book(client, slot_id, units=2)).status_code == 409


async def test_a_kill_leaves_nothing_behind(tmp_path) -> None:
    up = await (await start_up(tmp_path / "data")).ready()
    family = up.family()
    assert len(family) >= 4
    await up.kill()
    await eventually(lambda: not alive(family), within_s=10)


async def test_a_kill_during_the_start_leaves_nothing_behind(tmp_path) -> None:
    for moment in ("postgres.unfinished", "postgres/postmaster.pid", "nats"):
        data_dir = tmp_path / moment.replace("/", "-")
        up = await start_up(data_dir)
        await eventually((data_dir / moment).exists, within_s=20, every_s=0.002)
        family = up.family()
        await up.kill()
        await eventually(lambda family=family: not alive(family), within_s=10)


async def test_servers_that_are_given_are_used_and_not_started_and_the_read_model_may_have_its_own(
    database_url, empty_database_url, fresh_nats, tmp_path
) -> None:
    environ = {
        "BOOKING_DATABASE_URL": database_url,
        "PROJECTOR_DATABASE_URL": empty_database_url,
        "BOOKING_NATS_URL": fresh_nats.url,
    }
    async with running(tmp_path / "data", environ=environ) as up, up.client() as client:
        assert up.run_file["postgres_bin"] is None
        servers = ("nats-server", "postgres -D")
        assert not [each for each in up.family().values() if any(s in each for s in servers)]
        slot_id = await open_slot(client, capacity=1)
        assert (await book(client, slot_id)).status_code == 201
        seen = await client.get(f"/v1/slots/{slot_id}", headers={"Cache-Control": "no-cache"})
        assert seen.json()["remaining"] == 0
        assert await up.stop() == 0


async def test_only_the_parts_asked_for_run(tmp_path) -> None:
    async with running(tmp_path / "data", "--parts", "api,relay") as up, up.client() as client:
        commands = " ".join(up.family().values())
        assert "booking.cli relay" in commands
        assert "projector.cli" not in commands
        assert (await client.get("/v1/slots/01900000-0000-7000-8000-000000000000")).status_code in {
            404,
            405,
        }


async def test_a_stop_during_the_start_is_heard(tmp_path) -> None:
    up = await start_up(tmp_path / "data")
    await eventually((tmp_path / "data/up.lock").exists, within_s=20)
    async with asyncio.timeout(15):
        assert await up.stop() == 0
    begun = up.log.read_text()
    assert "migrating" not in begun, "nothing is begun for somebody who has gone"
    assert "metrics_served" not in begun
