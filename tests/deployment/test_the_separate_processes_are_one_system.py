"""docker-compose.yml told as a story: migrate, start, sell, read, stop."""

import signal

import httpx
import pytest
from compose import SECRETS
from processes import NGINX, Processes

from booking.embedded.postgres import create_database

KEY = {"Authorization": f"Bearer {SECRETS['BOOKING_INITIAL_KEY']}"}


@pytest.fixture(scope="module")
async def processes(postgres, nats_of_compose, tmp_path_factory):
    database_url = await create_database(postgres, "compose")
    async with Processes(
        tmp_path_factory.mktemp("compose"), database_url=database_url, nats_address=nats_of_compose
    ) as processes:
        yield processes


@pytest.fixture(scope="module")
async def ask(processes):
    async with httpx.AsyncClient(headers=KEY, timeout=10) as client:

        async def ask(method, path, **more):
            return await client.request(method, processes.url(method, path), **more)

        yield ask


async def test_a_seat_is_held_by_one_process_and_shown_by_another(ask):
    hall = await ask(
        "POST",
        "/v1/resources",
        headers={"Idempotency-Key": "hall"},
        json={"name": "Hall", "time_zone": "Europe/Amsterdam"},
    )
    assert hall.status_code == 201, hall.text
    opened = await ask(
        "POST",
        f"{hall.headers['Location']}/slots",
        headers={"Idempotency-Key": "evening"},
        json={
            "slots": [
                {
                    "starts_at": "2100-01-01T19:00:00Z",
                    "ends_at": "2100-01-01T22:00:00Z",
                    "capacity": 2,
                }
            ]
        },
    )
    slot_id = opened.json()["slots"][0]["slot_id"]
    held = await ask(
        "POST",
        "/v1/bookings",
        headers={"Idempotency-Key": "guest"},
        json={
            "customer_id": "0197f0c0-0000-7000-8000-000000000003",
            "mode": "hold",
            "lines": [{"slot_id": slot_id, "units": 2}],
        },
    )
    assert held.status_code == 201, held.text
    confirmed = await ask("POST", f"{held.headers['Location']}/confirm")
    token = {"Consistency-Token": confirmed.headers["Consistency-Token"]}
    shown = await ask("GET", f"/v1/slots/{slot_id}", headers={**token, "Prefer": "wait=10"})
    assert shown.status_code == 200, shown.text
    assert (shown.json()["confirmed"], shown.json()["remaining"]) == (2, 0)
    fate = await ask("GET", "/v1/commands/guest")
    assert fate.json()["answer"] == held.json()


async def test_without_a_key_nobody_gets_in(ask):
    for method, path in (("GET", "/v1/resources"), ("POST", "/v1/bookings")):
        refused = await ask(method, path, headers={"Authorization": ""})
        assert refused.status_code == 401


async def test_a_second_migration_changes_nothing(processes, ask):
    processes.migrate()
    assert (await ask("GET", "/v1/resources")).status_code == 200


@pytest.mark.skipif(NGINX is None, reason="needs nginx")
async def test_the_gateway_keeps_metrics_to_itself_and_refuses_large_bodies(ask):
    assert (await ask("GET", "/metrics")).status_code == 404
    large = await ask("POST", "/v1/bookings", content=b" " * (1 << 21))
    assert large.status_code == 413
    assert large.headers["content-type"] == "application/problem+json"


async def test_asked_to_stop_every_process_ends_in_order(processes):
    for name, child in processes.running.items():
        assert await child.stop(signal.SIGTERM, deadline_s=10) == 0, name
