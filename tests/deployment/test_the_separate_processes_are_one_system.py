"""docker-compose.yml told as a story: migrate, start, sell, read, watch, stop."""

import signal

import pytest
from compose import SECRETS
from mounted_nats import mounted_nats
from plain_http import plain_http
from processes import NGINX, Processes

from booking.embedded.postgres import create_database

KEY = {"Authorization": f"Bearer {SECRETS['BOOKING_INITIAL_KEY']}"}
EVENING = "0197f0c0-0000-7000-8000-000000000001"
GUEST = "0197f0c0-0000-7000-8000-000000000002"


@pytest.fixture(scope="module")
async def nats_log(tmp_path_factory):
    return tmp_path_factory.mktemp("mounted_nats") / "log"


@pytest.fixture(scope="module")
async def processes(postgres, nats_log, tmp_path_factory):
    database_url = await create_database(postgres, "compose")
    folder = tmp_path_factory.mktemp("compose")
    async with (
        mounted_nats(nats_log.parent) as address,
        Processes(folder, database_url=database_url, nats_address=address) as processes,
    ):
        yield processes


@pytest.fixture(scope="module")
async def ask(processes):
    async with plain_http(headers=KEY, timeout=10) as client:

        async def ask(method, path, **more):
            return await client.request(method, processes.url(method, path), **more)

        yield ask


@pytest.fixture(scope="module")
async def evening(ask):
    """A slot of four seats."""
    hall = await ask(
        "POST",
        "/v1/resources",
        headers={"Idempotency-Key": "hall"},
        json={"name": "Hall", "time_zone": "Europe/Amsterdam"},
    )
    assert hall.status_code == 201, hall.text
    slot = {
        "slot_id": EVENING,
        "starts_at": "2100-01-01T19:00:00Z",
        "ends_at": "2100-01-01T22:00:00Z",
        "capacity": 4,
    }
    opened = await ask(
        "POST",
        f"{hall.headers['Location']}/slots",
        headers={"Idempotency-Key": "evening"},
        json={"slots": [slot]},
    )
    assert opened.status_code == 201, opened.text
    return EVENING


async def hold_two(ask, evening, *, key):
    held = await ask(
        "POST",
        "/v1/bookings",
        headers={"Idempotency-Key": key},
        json={
            "customer_id": GUEST,
            "mode": "hold",
            "lines": [{"slot_id": evening, "units": 2}],
        },
    )
    assert held.status_code == 201, held.text
    return held


async def test_seats_are_sold_by_one_process_and_shown_by_another(ask, evening):
    held = await hold_two(ask, evening, key="guest")
    confirmed = await ask("POST", f"{held.headers['Location']}/confirm")
    token = {"Consistency-Token": confirmed.headers["Consistency-Token"]}
    shown = await ask("GET", f"/v1/slots/{evening}", headers={**token, "Prefer": "wait=10"})
    assert shown.status_code == 200, shown.text
    assert (shown.json()["confirmed"], shown.json()["remaining"]) == (2, 2)
    fate = await ask("GET", "/v1/commands/guest")
    assert fate.json()["answer"] == held.json()


async def test_who_watches_is_told_of_a_sale(processes, ask, evening):
    watched = processes.url("GET", f"/v1/availability/stream?slot_id={evening}")
    async with (
        plain_http(headers=KEY, timeout=10) as client,
        client.stream("GET", watched) as stream,
    ):
        lines = aiter(stream.aiter_lines())
        while await anext(lines) != "event: snapshot":
            pass
        await hold_two(ask, evening, key="another-guest")
        while await anext(lines) != "event: changes":
            pass
        await anext(lines)  # its token
        assert '"held":2,"confirmed":2,"remaining":0' in await anext(lines)


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


async def test_nobody_has_missed_a_right_at_nats(ask, evening, nats_log):
    assert (await ask("GET", f"/v1/slots/{evening}")).status_code == 200
    assert "Violation" not in nats_log.read_text()


async def test_asked_to_stop_every_process_ends_in_order(processes):
    for name, child in processes.running.items():
        assert await child.stop(signal.SIGTERM, deadline_s=10) == 0, name
