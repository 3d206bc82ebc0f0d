"""Each fault point strikes where its name says, and what a client may believe afterwards is true."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import httpx
import nats
import pytest
from api_process import api_processes
from eventually import eventually
from nats.js.errors import NotFoundError
from structlog.testing import capture_logs

from booking.embedded.postgres import create_database
from booking.events.subjects import STREAM
from booking.injected_fault import (
    OF_THE_API,
    OF_THE_RELAY,
    appending_with_fault,
    with_fault,
)

SETTINGS = Path(__file__).parents[2] / "docs/settings.md"
TIMES = {"starts_at": "2030-01-01T19:00:00Z", "ends_at": "2030-01-01T22:00:00Z"}


@pytest.fixture(scope="module")
async def shared_url(postgres, migrated):
    """One database for all: every test has a slot of its own, and its keys are about that slot."""
    return await create_database(postgres, "injected_faults", template=migrated)


@pytest.fixture
async def database(shared_url):
    connection = await asyncpg.connect(shared_url)
    yield connection
    await connection.close()


@pytest.fixture
async def victim(shared_url, tmp_path):
    async with api_processes(shared_url, tmp_path, "victim") as (process,):
        yield process


@pytest.fixture(scope="module")
async def other(shared_url, tmp_path_factory):
    """One that no fault strikes, which may therefore serve all tests."""
    folder = tmp_path_factory.mktemp("other")
    async with api_processes(shared_url, folder, "other") as (process,):
        yield await process.start()


async def new_slot(http: httpx.AsyncClient, *, capacity: int = 9) -> str:
    """Neither of the two commands goes through the batcher, so no fault strikes them."""
    hall = {"name": "Hall", "time_zone": "UTC"}
    made = await http.post("/v1/resources", json=hall, headers={"Idempotency-Key": str(uuid4())})
    opened = await http.post(
        f"{made.headers['location']}/slots",
        json={"slots": [TIMES | {"capacity": capacity}]},
        headers={"Idempotency-Key": str(uuid4())},
    )
    assert opened.status_code == 201, opened.text
    return opened.json()["slots"][0]["slot_id"]


def book(http: httpx.AsyncClient, slot: str, key: str):
    body = {"customer_id": slot, "mode": "book", "lines": [{"slot_id": slot, "units": 1}]}
    return http.post("/v1/bookings", json=body, headers={"Idempotency-Key": f"{key}:{slot}"})


def command(http: httpx.AsyncClient, slot: str, key: str):
    return http.get(f"/v1/commands/{key}:{slot}")


async def confirmed(database: asyncpg.Connection, slot: str) -> int:
    return await database.fetchval(
        "SELECT confirmed FROM booking.slot WHERE slot_id = $1", UUID(slot)
    )


@pytest.mark.parametrize(
    ("fault", "happened", "told"),
    [
        ("kill_before_call:2", {False}, False),
        ("kill_in_call:2", {False, True}, False),
        ("kill_before_commit:2", {False}, False),
        ("kill_after_commit:2", {True}, False),
        ("kill_after_answer:2", {True}, True),
    ],
)
async def test_a_killed_process_leaves_what_the_fault_promises_and_its_key_tells(
    victim, other, fault, happened, told
):
    await victim.start(fault=fault)
    async with victim.client() as doomed, other.client() as http:
        slot = await new_slot(http)
        assert (await book(doomed, slot, "k-1")).status_code == 201
        try:
            answer = await book(doomed, slot, "k-2")
        except httpx.TransportError:
            answer = None
        assert (answer is not None) is told
        assert await victim.ended() == -signal.SIGKILL
        (struck,) = [
            line for line in victim.log.read_text().splitlines() if "fault_strikes" in line
        ]
        assert fault in struck
        found = await command(http, slot, "k-2")
        if len(happened) == 1:
            assert (found.status_code == 200) in happened
        again = await book(http, slot, "k-2")
        assert again.status_code == 201
        if told:
            assert again.content == answer.content
        if found.status_code == 200:
            assert again.headers["idempotent-replayed"] == "true"
        third = await book(http, slot, "k-3")
        assert third.json()["lines"][0]["remaining"] == 9 - 3  # each once


async def test_a_process_paused_in_its_call_stops_nobody(victim, other):
    """No client round trip lies between the first lock and the commit."""
    await victim.start(fault="pause_in_call:1")
    async with victim.client() as slow, other.client() as http:
        slot = await new_slot(http)
        first = asyncio.create_task(book(slow, slot, "slow"))
        await eventually(victim.is_paused)
        answers = [await book(http, slot, f"k-{n}") for n in range(3)]
        assert [answer.status_code for answer in answers] == [201] * 3
        assert victim.is_paused()
        assert (await command(http, slot, "slow")).status_code == 200  # decided without it
        victim.go_on()
        assert (await first).status_code == 201


async def test_paused_in_a_transaction_of_its_own_it_would_stop_everybody(victim, other, database):
    """What the one call avoids: here a transaction is held open around it."""
    await victim.start(fault="pause_before_commit:1")
    async with victim.client() as slow, other.client() as http:
        slot = await new_slot(http)
        first = asyncio.create_task(book(slow, slot, "slow"))
        await eventually(victim.is_paused)
        waiting = asyncio.create_task(book(http, slot, "k-1"))

        async def stands_in_line() -> bool:
            return await database.fetchval(
                "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
                "AND application_name = 'booking-batcher' AND datname = current_database()"
            )

        await eventually(stands_in_line)
        assert not waiting.done()
        victim.go_on()
        assert (await first).status_code == (await waiting).status_code == 201


async def test_a_poisoned_command_fails_alone_and_did_not_happen(victim, database):
    await victim.start(fault="raise_in_call:3")
    async with victim.client() as http:
        slot = await new_slot(http, capacity=50)
        answers = [await book(http, slot, f"k-{n}") for n in range(2)]
        answers += await asyncio.gather(*(book(http, slot, f"k-{n}") for n in range(2, 22)))
        failed = [answer for answer in answers if answer.status_code != 201]
        assert [answer.status_code for answer in failed] == [500]
        problem = failed[0].json()
        assert (problem["outcome"], problem["constraint"]) == ("did-not-happen", None)
    lines = [line for line in victim.log.read_text().splitlines() if problem["trace_id"] in line]
    assert len(lines) == 1, "who reports the trace is found in the log"
    assert failed[0].request.headers["idempotency-key"] in lines[0]
    assert "RaiseError" in lines[0], "with the cause"
    assert await confirmed(database, slot) == 21


async def test_a_lost_connection_is_not_noticed_by_those_who_wait(victim, database):
    await victim.start(fault="lose_connection:2")
    async with victim.client() as http:
        slot = await new_slot(http)
        assert (await book(http, slot, "k-1")).status_code == 201
        lost = await book(http, slot, "k-2")
        assert lost.status_code == 201
        assert lost.json()["lines"][0]["remaining"] == 7
        assert await victim.count("booking_reruns_total") >= 1
    assert await confirmed(database, slot) == 2


async def test_a_relay_killed_with_an_append_on_its_way_leaves_a_stream_that_the_next_one_continues(
    other, shared_url, fresh_nats, database
):
    async with other.client() as http:
        slot = await new_slot(http)
        for number in range(5):
            assert (await book(http, slot, f"k-{number}")).status_code == 201
    for fault, ends in (("kill_in_append:1", -signal.SIGKILL), ("", None)):
        relay = await relay_process(shared_url, fresh_nats.url, fault)
        try:
            if ends is not None:
                async with asyncio.timeout(20):
                    assert await relay.wait() == ends
            else:
                await eventually(
                    lambda: the_stream_is_the_log(fresh_nats.url, database), within_s=20
                )
        finally:
            if relay.returncode is None:
                relay.kill()
                await relay.wait()


async def relay_process(database_url: str, nats_url: str, fault: str):
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "booking.cli", "relay"),
        env=os.environ
        | {
            "BOOKING_DATABASE_URL": database_url,
            "BOOKING_NATS_URL": nats_url,
            "BOOKING_ENVIRONMENT": "laboratory",
            "BOOKING_FAULT": fault,
        },
        stderr=asyncio.subprocess.DEVNULL,
    )


async def the_stream_is_the_log(nats_url: str, database) -> bool:
    log = await database.fetch('SELECT event_id FROM booking.event_log ORDER BY "position"')
    client = await nats.connect(nats_url)
    try:
        stream = client.jetstream()
        with contextlib.suppress(NotFoundError):
            kept = [await stream.get_msg(STREAM, seq=n + 1) for n in range(len(log))]
            assert (await stream.stream_info(STREAM)).state.last_seq == len(log)
            return [each.headers["Nats-Msg-Id"] for each in kept] == [
                str(event["event_id"]) for event in log
            ]
        return False
    finally:
        await client.close()


@pytest.mark.parametrize(
    ("process", "mine", "others"),
    [
        (with_fault, "kill_after_commit:3", "kill_in_append:1"),
        (appending_with_fault, "kill_in_append:1", "kill_after_commit:3"),
    ],
)
def test_a_process_announces_the_fault_that_is_meant_for_it_and_no_other(process, mine, others):
    async def work(*_):
        raise AssertionError("nothing is done here")

    with capture_logs() as lines:
        assert process(work, mine, environment="laboratory") is not work
        assert process(work, others, environment="laboratory") is work
    assert [line["fault"] for line in lines] == [mine]


def test_every_fault_is_explained_and_every_explained_one_exists():
    explained = re.findall(r"^\| `([a-z_]+):<n>` \|", SETTINGS.read_text(), re.MULTILINE)
    assert explained == [*OF_THE_API, *OF_THE_RELAY]
