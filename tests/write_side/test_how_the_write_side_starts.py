"""The write side starts with what is safe, says what is wrong in one sentence, and serves without NATS."""

import asyncio
import contextlib
import os
import signal
import socket
import sys

import httpx
import nats
import pytest
from eventually import eventually
from plain_http import plain_http
from shop import Shop, open_shop

from booking.api.problems import PROBLEMS, failed
from booking.app import open_part
from booking.edge.failures import Misconfigured
from booking.edge.problems import PROBLEMS as OF_THE_EDGE
from booking.events.subjects import WAKE
from booking.faults import DatabaseUnavailable, Draining, NotDecided, QueueFull
from booking.guards.laboratory import remove_the_last_line
from booking.rejections import REJECTIONS
from booking.settings import Settings


def settings(url, **changed):
    return Settings(database_url=url, nats_url="nats://127.0.0.1:1", **changed)


@pytest.mark.parametrize("environment", ["production", "development"])
async def test_the_guard_cannot_be_turned_off_outside_the_laboratory(database_url, environment):
    with pytest.raises(Misconfigured, match="BOOKING_GUARD"):
        async with open_part(settings(database_url, environment=environment, guard="unguarded")):
            pass


async def test_a_guard_that_does_not_exist_is_named(database_url):
    with pytest.raises(Misconfigured, match="BOOKING_GUARD=prayer"):
        async with open_part(settings(database_url, environment="laboratory", guard="prayer")):
            pass


async def test_a_database_without_its_last_line_is_refused_outside_the_laboratory(
    database_url, database
):
    await remove_the_last_line(database)
    await remove_the_last_line(database)
    with pytest.raises(Misconfigured, match="experiment"):
        async with open_part(settings(database_url, environment="development")):
            pass
    async with open_part(settings(database_url, environment="laboratory")):
        pass


async def test_a_database_that_was_not_migrated_or_is_not_there_is_a_sentence(empty_database_url):
    for url in (empty_database_url, "postgresql://127.0.0.1:1/nowhere"):
        with pytest.raises(Misconfigured):
            async with open_part(settings(url)):
                pass


async def test_without_nats_bookings_are_taken_and_with_it_the_relay_is_woken(
    shop, database_url, nats_url
):
    slot = await shop.slot(9)
    assert (await shop.take(slot)).status_code == 201
    heard = []
    listener = await nats.connect(nats_url)

    async def hear(message):
        heard.append(message)

    await listener.subscribe(WAKE, cb=hear)
    await listener.flush()
    async with open_shop(database_url, nats_url=nats_url) as awake:

        async def woken():
            await awake.take(slot)
            return heard

        await eventually(woken)
    await listener.close()


def test_every_rejection_has_a_row_that_says_what_it_means_and_what_to_do():
    known = {**OF_THE_EDGE, **PROBLEMS}
    assert set(REJECTIONS) <= set(known)
    assert all(kind.title and kind.meaning and kind.remedy for kind in PROBLEMS.values())
    assert not set(PROBLEMS) & set(OF_THE_EDGE)


@pytest.mark.parametrize(
    ("fault", "slug", "outcome"),
    [
        (QueueFull(), "queue-full", None),
        (Draining(), "draining", None),
        (NotDecided(), "not-decided", None),
        (DatabaseUnavailable("did-not-happen"), "database-unavailable", "did-not-happen"),
        (DatabaseUnavailable("may-have-happened"), "database-unavailable", "may-have-happened"),
    ],
)
def test_every_fault_is_a_503_that_says_whether_the_command_happened(fault, slug, outcome):
    problem = failed(fault)
    assert problem.slug == slug
    assert {**OF_THE_EDGE, **PROBLEMS}[slug].status == 503
    assert problem.members.get("outcome") == outcome
    assert "happened" in problem.detail or "did not happen" in problem.detail


async def test_every_route_names_only_problems_that_are_explained(database_url):
    async with open_part(settings(database_url, environment="development")) as part:
        known = {**OF_THE_EDGE, **part.problems}
        for handler in part.handlers:
            assert set(handler.opt["problems"]) <= set(known)


async def test_the_unguarded_arm_refuses_what_it_does_not_know(unguarded_shop):
    booking = await unguarded_shop.held(await unguarded_shop.slot(1))
    answer = await unguarded_shop.order("confirm", booking)
    assert (answer.status_code, answer.json()["type"]) == (501, "/problems/not-in-this-arm")


async def test_the_unguarded_arm_keeps_everything_but_the_condition(unguarded_shop):
    """Keys, holds, unknown slots and positions are as in the product."""
    shop = unguarded_shop
    slot = await shop.slot(1)
    first = await shop.take(slot, mode="hold", key="k-1")
    again = await shop.take(slot, mode="hold", key="k-1")
    assert again.content == first.content
    assert (await shop.take({slot: 2}, key="k-1")).status_code == 422
    assert (await shop.take("0190c2a0-0000-7000-8000-000000000001")).status_code == 404
    over = await shop.take({slot: 3})
    assert over.json()["lines"][0]["remaining"] == -3
    await shop.assert_books_agree()


@pytest.mark.parametrize("fault", ["kill_after_commit:0", "kill_after_commit", "meteor"])
async def test_a_fault_that_cannot_be_injected_is_named(database_url, fault):
    with pytest.raises(Misconfigured, match="BOOKING_FAULT"):
        async with open_part(settings(database_url, environment="laboratory", fault=fault)):
            pass


async def test_no_fault_is_injected_outside_the_laboratory(database_url):
    with pytest.raises(Misconfigured, match="BOOKING_FAULT"):
        async with open_part(settings(database_url, fault="kill_after_commit:1")):
            pass


async def test_a_process_killed_between_commit_and_answer_has_booked_and_the_key_finds_it(
    shop, database_url, tmp_path
):
    slot = await shop.slot(9)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    victim = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "booking.cli",
        "api",
        env=os.environ
        | {
            "BOOKING_DATABASE_URL": database_url,
            "BOOKING_NATS_URL": "nats://127.0.0.1:1",
            "BOOKING_ENVIRONMENT": "laboratory",
            "BOOKING_FAULT": "kill_after_commit:2",
            "BOOKING_PORT": str(port),
            "BOOKING_DATA_DIR": str(tmp_path),
        },
        stderr=asyncio.subprocess.DEVNULL,
    )
    async with plain_http(f"http://127.0.0.1:{port}") as http:

        async def live():
            with contextlib.suppress(httpx.TransportError):
                return (await http.get("/health/live")).status_code == 200

        await eventually(live, within_s=20)
        doomed = Shop(http, shop.database)
        assert (await doomed.take(slot, key="k-1")).status_code == 201
        with pytest.raises(httpx.TransportError):
            await doomed.take(slot, key="k-2")
    assert await victim.wait() == -signal.SIGKILL
    found = await shop.http.get("/v1/commands/k-2")
    assert found.status_code == 200
    again = await shop.take(slot, key="k-2")
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json() == found.json()["answer"]
    assert await shop.database.fetchval("SELECT confirmed FROM booking.slot") == 2
    await shop.assert_books_agree()
