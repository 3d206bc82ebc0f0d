"""Query nodes: answers from memory that stay true, several at once, and honest when cut off."""

import asyncio
import contextlib
import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from uuid import UUID, uuid4

import pytest
from a_node import a_node
from at_work import answering, projecting
from cut import Wire
from eventually import eventually
from prometheus_client import generate_latest

from booking.edge import database
from booking.edge.ending import end
from booking.embedded.child import Child
from projector.consumer.due import Due
from projector.guards.checkpoint_compare_and_set import read_checkpoint
from projector.guards.one_epoch_only import begin_epoch
from projector.replica.follower import Follower
from projector.replica.memory import Replica
from projector.replica.poll import SlotPoll
from projector.replica.resource_calendar import Calendar
from projector.replica.slots import ReplicatedSlots
from projector.replica.watchers import Watchers


class Servers(NamedTuple):
    """Where the servers of a test are."""

    database_url: str
    nats_url: str


@pytest.fixture
def servers(database_url, fresh_nats) -> Servers:
    return Servers(database_url, fresh_nats.url)


LAGS_MS = (5, 50, 500)


def counted(api, name: str) -> float:
    """A metric of the node behind a client."""
    for line in generate_latest(api.part.metrics).decode().splitlines():
        if line.startswith(f"queries_{name} "):
            return float(line.split()[1])
    return 0.0


async def ready(api) -> bool:
    return (await api.get("/health/ready")).status_code == 200


async def version_of(api, slot_id, **headers) -> int | None:
    answer = await api.get(f"/v1/slots/{slot_id}", headers=headers)
    return answer.json()["version"] if answer.status_code == 200 else None


async def test_a_slot_is_read_once_and_then_answered_from_memory(log, stream, api):
    slot_id = await log.slot(capacity=5)
    await stream.copy()
    await eventually(lambda: version_of(api, slot_id))
    await eventually(lambda: counted(api, "replica_slots"))
    hits = counted(api, "replica_hits_total")
    for units in range(1, 4):
        await log.hold(slot_id)
        await stream.copy()

        async def shown(units=units) -> bool:
            return await version_of(api, slot_id) == 1 + units

        await eventually(shown)
    answer = await api.get(f"/v1/slots/{slot_id}")
    assert counted(api, "replica_hits_total") > hits
    assert answer.json()["remaining"] == 2
    assert (answer.json()["suspect"], answer.headers["etag"]) == (False, '"4"')
    assert answer.json()["position"] == 4
    assert answer.headers["consistency-level"] == "eventual"


async def test_memory_and_tables_answer_in_the_same_words(log, stream, api):
    slot_id = await log.slot(capacity=5)
    await stream.copy()
    await eventually(lambda: version_of(api, slot_id))
    await eventually(lambda: counted(api, "replica_slots"))
    from_memory = await api.get(f"/v1/slots/{slot_id}")
    asked = {"Consistency-Token": from_memory.headers["consistency-token"]}
    with_token = await api.get(f"/v1/slots/{slot_id}", headers=asked)
    resource_id = from_memory.json()["resource_id"]
    listed = await api.get(f"/v1/availability?resource_id={resource_id}")
    volatile = {"position", "as_of"}
    told = {k: v for k, v in from_memory.json().items() if k not in volatile}
    assert {k: v for k, v in with_token.json().items() if k not in volatile} == told
    assert listed.json()["slots"] == [told]
    assert with_token.headers["consistency-level"] == "session"
    unchanged = await api.get(f"/v1/slots/{slot_id}", headers={"If-None-Match": '"1"'})
    assert unchanged.status_code == 304
    missing = await api.get(f"/v1/slots/{uuid4()}")
    assert missing.status_code == 404
    assert missing.json()["as_of"]


async def test_a_slot_that_did_not_exist_is_found_once_it_is_opened(log, stream, api):
    resource_id = await log.resource()
    await stream.copy()
    slot_id = uuid4()
    assert await version_of(api, slot_id) is None
    assert await version_of(api, slot_id) is None
    opened = await log.slot(resource_id)
    await stream.copy()
    await eventually(lambda: version_of(api, opened))


async def test_several_nodes_tell_the_same_and_each_is_listed(
    log, stream, projector, servers, monkeypatch
):
    names = iter(("one", "two"))
    monkeypatch.setattr("projector.app.process_name", lambda kind: f"{kind}-{next(names)}")
    slot_id = await log.slot()
    await stream.copy()
    async with answering(servers.database_url, servers.nats_url) as one:
        async with answering(servers.database_url, servers.nats_url) as two:
            await eventually(lambda: ready(one))
            await eventually(lambda: ready(two))

            async def listed() -> set[str]:
                nodes = (await one.get("/v1/consistency")).json()["nodes"]
                return {node["node"] for node in nodes}

            async def both() -> bool:
                return await listed() == {"queries-one", "queries-two"}

            await eventually(both)
            await log.hold(slot_id)
            await stream.copy()
            for node in (one, two):

                async def shown(node=node) -> bool:
                    return await version_of(node, slot_id) == 2

                await eventually(shown)

        async def gone() -> bool:
            return await listed() == {"queries-one"}

        await eventually(gone)


async def test_a_read_with_conditions_waits_without_a_database_connection(
    log, stream, api, projector
):
    slot_id = await log.slot()
    await stream.copy()
    await eventually(lambda: version_of(api, slot_id))
    token = (await api.get(f"/v1/slots/{slot_id}")).headers["consistency-token"]
    ahead = await log.hold(slot_id)
    assert ahead
    waiting = [
        asyncio.create_task(
            api.get(
                f"/v1/slots/{slot_id}", headers={"Cache-Control": "no-cache", "Prefer": "wait=10"}
            )
        )
        for _ in range(50)
    ]
    await eventually(lambda: counted(api, "waiting") == 50)
    # Twenty others than the eight connections of this node are answered meanwhile.
    answers = await asyncio.gather(*(api.get(f"/v1/bookings/{uuid4()}") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {404}
    await stream.copy()
    answers = await asyncio.gather(*waiting)
    assert {answer.json()["version"] for answer in answers} == {2}
    assert token != answers[0].headers["consistency-token"]


# Polling: no NATS at all.


async def test_without_nats_a_node_that_polls_keeps_up_and_streams(log, stream, projector, servers):
    slot_id = await log.slot(capacity=9)
    await stream.copy()
    async with answering(servers.database_url, "", sync="polling", poll_ms=10) as api:
        await eventually(lambda: ready(api))
        await eventually(lambda: version_of(api, slot_id))
        assert await version_of(api, slot_id) == 1
        assert counted(api, "replica_slots") == 1
        await log.hold(slot_id)
        await stream.copy()

        async def shown() -> bool:
            return await version_of(api, slot_id) == 2

        await eventually(shown)
        await eventually(lambda: counted(api, "replica_slots") == 1)
        misses = counted(api, "replica_misses_total")
        for _ in range(10):
            assert await version_of(api, slot_id) == 2
        assert counted(api, "replica_misses_total") == misses
        assert counted(api, "feed_messages_total") == 0


async def test_while_the_read_model_is_rebuilt_memory_tells_nothing_either(
    log, writer, owner, servers
):
    """What a node holds is of a history that is lost; there is no feed whose silence says so."""
    slot_id = await log.slot()
    async with answering(servers.database_url, "", sync="polling", poll_ms=10) as api:
        async with projecting(writer, None, poll_s=0.01):
            await eventually(lambda: ready(api))
            await eventually(lambda: version_of(api, slot_id))
            await eventually(lambda: counted(api, "replica_slots"))
        later = UUID("ffffffff-ffff-7fff-bfff-ffffffffffff")
        async with writer.acquire() as connection:
            await begin_epoch(connection, await read_checkpoint(connection), later)

        async def refused() -> bool:
            answer = await api.get(f"/v1/slots/{slot_id}")
            return (answer.status_code, answer.json().get("type")) == (503, "/problems/rebuilding")

        await eventually(refused)


async def test_a_poll_finds_what_changes_after_versions_went_back(log, writer, owner):
    """In a new epoch a slot has a lower version than it had; who follows it is told all the same."""
    resource_id = await log.resource()
    slot_id = await log.slot(resource_id)
    for _ in range(3):
        await log.hold(slot_id)
    async with projecting(writer, None, poll_s=0.01) as projector:
        await eventually(lambda: projector.checkpoint.position == log.position)
    follower = Follower(Replica(), Watchers(), Due(timedelta(0), lambda: datetime.now(tz=UTC)))
    follower.watchers.add(Calendar(resource_id))
    poll = SlotPoll(follower, owner, every_s=60)
    await poll.run_once()
    assert await poll.run_once() == 0
    put = """
        WITH c AS (UPDATE read_model.checkpoint SET generation = generation + $1,
            position = position + 1)
        UPDATE read_model.slot SET version = $2 WHERE slot_id = $3
    """
    await owner.execute(put, 1, 2, slot_id)
    await poll.run_once()  # all is dropped, and read again by who follows it
    await owner.execute(put, 0, 3, slot_id)
    assert await poll.run_once() == 1


class Listener:
    """Follows something, and remembers which version it was told, and with which position."""

    def __init__(self, *, slot_ids=(), resource_id=None) -> None:
        self.slot_ids, self.resource_id = slot_ids, resource_id
        self.told = []

    def changed(self, told, position) -> None:
        self.told.append((told.slot.version, position))

    def missed(self, position) -> None:
        self.told.append(("missed", position))


@pytest.mark.parametrize("by", ["slot", "resource"])
async def test_who_follows_a_slot_is_told_also_what_another_read_before_the_poll(
    by, log, writer, owner
):
    resource_id = await log.resource()
    slot_id = await log.slot(resource_id)
    follower = Follower(Replica(), Watchers(), Due(timedelta(0), lambda: datetime.now(tz=UTC)))
    slots = ReplicatedSlots(owner, follower.replica, follower.due)
    poll = SlotPoll(follower, owner, every_s=60)
    async with projecting(writer, None, poll_s=0.01) as projector:
        await eventually(lambda: projector.checkpoint.position == log.position)
        await poll.run_once()
        follows = {"slot_ids": [slot_id]} if by == "slot" else {"resource_id": resource_id}
        listener = Listener(**follows)
        follower.watchers.add(listener)
        await poll.run_once()
        await log.hold(slot_id)
        await eventually(lambda: projector.checkpoint.position == log.position)
        read = await slots.find(slot_id)
        assert (read.value.version, read.position) == (2, log.position)
        assert follower.standing.position < log.position
        await poll.run_once()
        assert follower.standing.position == log.position
        assert listener.told == [(2, log.position)]


# An injected lag: nothing may be known earlier.


async def test_nodes_of_different_lags_on_one_read_model_never_know_earlier(
    log, stream, projector, servers, owner
):
    slot_id = await log.slot(capacity=1000)
    await stream.copy()
    await stream.heartbeat()

    async def beat() -> None:
        while True:
            await log.hold(slot_id)
            await stream.copy()
            await stream.heartbeat()
            await asyncio.sleep(0.02)  # polls: the sale goes on while others look

    sale = asyncio.create_task(beat())
    try:
        async with contextlib.AsyncExitStack() as opened:
            nodes = {
                lag_ms: await opened.enter_async_context(
                    answering(
                        servers.database_url,
                        servers.nats_url,
                        environment="laboratory",
                        injected_lag_ms=lag_ms,
                    )
                )
                for lag_ms in LAGS_MS
            }
            for api in nodes.values():
                await eventually(lambda api=api: ready(api), within_s=10)
            for lag_ms, api in nodes.items():
                paths = (
                    f"/v1/slots/{slot_id}",
                    f"/v1/bookings?slot_id={slot_id}",
                    "/v1/resources",
                    f"/v1/slots/{slot_id}",
                    f"/v1/slots/{slot_id}",
                )
                for path in paths:
                    answer = await api.get(path)
                    now = await owner.fetchval("SELECT clock_timestamp()")
                    assert answer.status_code == 200, answer.text
                    as_of = datetime.fromisoformat(answer.json()["as_of"])
                    assert (now - as_of).total_seconds() * 1000 >= lag_ms
                    newest = await owner.fetchval(
                        "SELECT recorded_at FROM published.events WHERE position = $1",
                        answer.json()["position"],
                    )
                    assert (now - newest).total_seconds() * 1000 >= lag_ms
                    if path == paths[0]:
                        told = await owner.fetchval(
                            "SELECT count(*) FROM published.events WHERE position <= $1",
                            answer.json()["position"],
                        )
                        assert answer.json()["version"] == told
        assert not sale.done(), "there was always something newer to know"
    finally:
        await end(sale)


# Cut off from everything: its age grows, and it says so.


# The driver of NATS leaves a connection that hung to the garbage collector, which says so.
hung_connections = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@hung_connections
async def test_a_node_that_is_cut_off_never_claims_to_be_fresh(
    log, stream, projector, servers, monkeypatch
):
    monkeypatch.setattr("projector.app.QUERY_TIMEOUT_MS", 200)
    monkeypatch.setattr("booking.edge.database.CONNECT_TIMEOUT_S", 1.0)
    slot_id = await log.slot()
    await stream.copy()
    await stream.heartbeat()
    async with (
        Wire(servers.database_url) as tables,
        Wire(servers.nats_url) as feed,
        answering(tables.url, feed.url) as api,
    ):
        await eventually(lambda: ready(api))
        await eventually(lambda: version_of(api, slot_id))
        tables.cut()
        feed.cut()
        await log.hold(slot_id)
        await stream.copy()
        written_at = asyncio.get_running_loop().time()
        refused = 0
        while refused < 2:
            sent_at = asyncio.get_running_loop().time()
            bounded = {"Cache-Control": "max-age=1", "Prefer": "wait=0"}
            answer = await api.get(f"/v1/slots/{slot_id}", headers=bounded)
            assert answer.status_code in (200, 412, 503)
            if answer.status_code == 200:
                assert sent_at - written_at <= 1.0
            refused += answer.status_code != 200
        strong = await api.get(f"/v1/slots/{slot_id}", headers={"Cache-Control": "no-cache"})
        assert strong.status_code == 503
        tables.mend()
        feed.mend()

        async def fresh_again() -> bool:
            await stream.heartbeat()
            return await version_of(api, slot_id, **{"Cache-Control": "max-age=1"}) == 2

        await eventually(fresh_again, within_s=15)


@hung_connections
async def test_what_a_cut_off_node_still_tells_grows_old_until_its_age_cannot_be_told(
    log, stream, projector, servers, monkeypatch
):
    monkeypatch.setattr(database, "CLOCK_GOOD_FOR_S", 2.0)
    slot_id = await log.slot()
    await stream.copy()
    await stream.heartbeat()
    async with (
        Wire(servers.database_url) as tables,
        answering(tables.url, "", sync="polling") as api,
    ):
        await eventually(lambda: ready(api))
        await eventually(lambda: version_of(api, slot_id))
        await eventually(lambda: counted(api, "replica_slots"))
        tables.cut()
        ages = []

        async def aging() -> bool:
            answer = await api.get(f"/v1/slots/{slot_id}")
            assert answer.status_code == 200
            ages.append(answer.headers.get("age"))
            return ages[-1] is None

        bounded = {"Cache-Control": "max-age=1", "Prefer": "wait=0"}

        async def too_stale() -> bool:
            return (await api.get(f"/v1/slots/{slot_id}", headers=bounded)).status_code == 412

        await eventually(too_stale, every_s=0.1)
        await eventually(aging, within_s=10, every_s=0.1)
        assert {"1", None} <= set(ages)  # told while it could be, and then not made up
        answer = await api.get(f"/v1/slots/{slot_id}", headers=bounded)
        assert answer.json()["type"] == "/problems/log-unreachable"
        tables.mend()


@hung_connections
async def test_with_the_feed_cut_the_tables_are_asked_and_nothing_is_missed(
    log, stream, projector, servers
):
    slot_id = await log.slot()
    await stream.copy()
    async with Wire(servers.nats_url) as feed, answering(servers.database_url, feed.url) as api:
        await eventually(lambda: ready(api))
        await eventually(lambda: version_of(api, slot_id))
        await eventually(lambda: counted(api, "feed_messages_total"))
        feed.cut()
        await eventually(lambda: counted(api, "feed_silences_total"))
        await log.hold(slot_id)
        await stream.copy()

        async def shown() -> bool:
            return await version_of(api, slot_id) == 2

        await eventually(shown)
        feed.mend()
        await log.hold(slot_id)
        await stream.copy()

        async def shown_again() -> bool:
            return await version_of(api, slot_id) == 3

        await eventually(shown_again)


async def test_while_the_projector_is_frozen_no_bounded_read_misses_an_older_write(
    log, stream, servers, tmp_path
):
    environ = os.environ | {
        "PROJECTOR_DATABASE_URL": servers.database_url,
        "PROJECTOR_LOG_DATABASE_URL": servers.database_url,
        "PROJECTOR_NATS_URL": servers.nats_url,
        "BOOKING_ENVIRONMENT": "development",
        "BOOKING_DATA_DIR": str(tmp_path),
    }
    slot_id = await log.slot()
    await stream.copy()
    program = [sys.executable, "-m", "projector.cli", "run"]
    child = await Child.start("projector", program, environ=environ, log=Path(tmp_path / "log"))
    try:
        async with answering(servers.database_url, servers.nats_url) as api:
            await eventually(lambda: version_of(api, slot_id), within_s=15)
            os.kill(child.pid, signal.SIGSTOP)
            await log.hold(slot_id)
            await stream.copy()
            written_at = asyncio.get_running_loop().time()

            async def refused() -> bool:
                sent_at = asyncio.get_running_loop().time()
                bounded = {"Cache-Control": "max-age=1", "Prefer": "wait=0"}
                answer = await api.get(f"/v1/slots/{slot_id}", headers=bounded)
                if answer.status_code == 200 and sent_at - written_at > 1.0:
                    assert answer.json()["version"] == 2
                return answer.status_code == 412

            await eventually(refused)
            os.kill(child.pid, signal.SIGCONT)

            async def shown() -> bool:
                await stream.heartbeat()
                return await version_of(api, slot_id, **{"Cache-Control": "max-age=1"}) == 2

            await eventually(shown, within_s=10)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGCONT)
        await child.stop()


async def test_a_node_that_was_frozen_does_not_take_what_it_knew_for_fresh(
    log, stream, projector, servers, tmp_path
):
    slot_id = await log.slot()
    await stream.copy()
    await stream.heartbeat()
    async with a_node(*servers, tmp_path) as (node, client):
        await eventually(lambda: version_of(client, slot_id))
        os.kill(node.pid, signal.SIGSTOP)
        try:
            await log.hold(slot_id)
            await stream.copy()
            await asyncio.sleep(1.1)  # polls: nothing; it is the frozen node's second that passes
            bounded = {"Cache-Control": "max-age=1", "Prefer": "wait=0"}
            asked = [
                asyncio.create_task(client.get(f"/v1/slots/{slot_id}", headers=bounded))
                for _ in range(20)
            ]
            await asyncio.sleep(0)
        finally:
            os.kill(node.pid, signal.SIGCONT)
        for answer in await asyncio.gather(*asked):
            assert answer.status_code == 412 or answer.json()["version"] == 2


@pytest.mark.parametrize("sync", ["events", "polling"])
async def test_a_late_answer_of_the_tables_is_due_like_a_message(
    sync, log, stream, projector, servers
):
    """A slot that is not in memory is read from tables that know more: the answer is held back."""
    slot_id = await log.slot()
    await stream.copy()
    await stream.heartbeat()
    async with answering(
        servers.database_url,
        servers.nats_url,
        environment="laboratory",
        injected_lag_ms=300,
        sync=sync,
    ) as api:
        await eventually(lambda: ready(api), within_s=10)
        await log.hold(slot_id)
        await stream.copy()
        await eventually(lambda: projector.checkpoint.position == 2)
        answer = await api.get(f"/v1/slots/{slot_id}")
        now = await log.pool.fetchval("SELECT clock_timestamp()")
        newest = await log.pool.fetchval(
            "SELECT recorded_at FROM published.events WHERE position = $1",
            answer.json()["position"],
        )
        assert (now - newest).total_seconds() * 1000 >= 300
        assert answer.json()["version"] == answer.json()["position"]
