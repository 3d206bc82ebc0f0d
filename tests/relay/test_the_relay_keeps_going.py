"""The relay as a process: called by a wake-up, undeterred by whatever is not there."""

import asyncio
import importlib
import signal
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

import pytest
from eventually import eventually
from log_and_stream import assert_the_stream_is_the_log, write_events
from nats.js.errors import NotFoundError
from structlog.testing import capture_logs

from booking.edge.failures import Misconfigured
from booking.events.subjects import STREAM, WAKE
from booking.relay import run
from booking.relay.condition import Condition
from booking.relay.connect_nats import connected_to_nats
from booking.relay.open_log import opened_log
from booking.relay.run import keep_relaying
from booking.settings import Settings

run_module = importlib.import_module("booking.relay.run")  # the package shows the function

NOWHERE = "nats://127.0.0.1:9"


def settings(database_url: str, nats_url: str, **others) -> Settings:
    return Settings(
        database_url=database_url, nats_url=nats_url, environment="development", **others
    )


@asynccontextmanager
async def relaying(chosen: Settings):
    """A relay at work; what it says about itself."""
    stop, condition = asyncio.Event(), Condition()
    task = asyncio.create_task(keep_relaying(chosen, condition, stop))
    try:
        yield condition
    finally:
        stop.set()
        async with asyncio.timeout(10):
            await task


async def all_is_well(condition: Condition) -> None:
    async def nothing_is_missing() -> bool:
        missing = await condition.missing()
        assert missing == []
        return True

    await eventually(nothing_is_missing, within_s=15)


def stream_reaches(nats, position: int):
    async def reached() -> bool:
        try:
            return (await nats.jetstream().stream_info(STREAM)).state.last_seq == position
        except NotFoundError:
            return False

    return eventually(reached, within_s=15, because=f"the stream reaches {position}")


async def test_events_are_relayed_as_they_come(database, database_url, fresh_nats, nats):
    async with relaying(settings(database_url, fresh_nats.url)) as condition:
        await all_is_well(condition)
        for count in (1, 30, 600):
            await write_events(database, count)
        await stream_reaches(nats, 631)

    await assert_the_stream_is_the_log(database, nats)


async def test_of_two_relays_at_work_one_stands_back(database, database_url, fresh_nats, nats):
    chosen = settings(database_url, fresh_nats.url)
    async with relaying(chosen) as first, relaying(chosen) as second:
        await all_is_well(first)
        await all_is_well(second)
        for count in (1, 30, 2, 600, 5):
            await write_events(database, count)
            await nats.publish(WAKE)
        await stream_reaches(nats, 638)
        await all_is_well(first)
        await all_is_well(second)

    await assert_the_stream_is_the_log(database, nats)


async def test_a_wake_up_call_is_enough(database, database_url, fresh_nats, nats, monkeypatch):
    monkeypatch.setattr(run_module, "POLL_S", 3600)
    async with relaying(settings(database_url, fresh_nats.url)) as condition:
        await all_is_well(condition)
        await write_events(database, 3)
        await nats.publish(WAKE)
        await stream_reaches(nats, 3)
        monkeypatch.undo()
        await nats.publish(WAKE)  # so that it notices the end of the test


async def test_a_lost_wake_up_call_loses_nothing(database, database_url, fresh_nats, nats):
    async with relaying(settings(database_url, fresh_nats.url)) as condition:
        await all_is_well(condition)
        await write_events(database, 3)  # and nobody calls
        await stream_reaches(nats, 3)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
async def test_it_goes_on_when_nats_comes_back_on_the_same_port(
    database, database_url, fresh_nats, end
):
    async with relaying(settings(database_url, fresh_nats.url)) as condition:
        await all_is_well(condition)
        await write_events(database, 20)

        await fresh_nats.child.stop(end)
        await eventually(condition.missing, because="health names what is missing")
        assert await condition.missing() == ["nats"]
        await write_events(database, 30)
        await fresh_nats.start()

        await all_is_well(condition)
        async with connected_to_nats(fresh_nats.url, name="test") as nats:
            await stream_reaches(nats, 50)
            await assert_the_stream_is_the_log(database, nats)


async def test_it_waits_for_a_nats_that_is_not_there_yet(database, database_url, fresh_nats):
    await write_events(database, 8)
    url = fresh_nats.url
    await fresh_nats.child.stop()
    with capture_logs() as lines:
        async with relaying(settings(database_url, url)) as condition:

            async def has_failed() -> bool:
                return await condition.missing() == ["nats"]

            await eventually(has_failed)
            await fresh_nats.start()
            await all_is_well(condition)

    said = [(line["event"], line.get("missing")) for line in lines]
    assert ("relay_waits", "nats") in said
    assert said[-1] == ("relay_follows_the_log", None)


async def test_it_waits_for_a_database_that_is_not_there_yet(
    database, database_url, fresh_nats, nats, tmp_path
):
    await write_events(database, 8)
    (sockets,) = parse_qs(urlsplit(database_url).query)["host"]
    later = tmp_path / "later"
    with capture_logs() as lines:
        async with relaying(
            settings(database_url.replace(sockets, str(later)), fresh_nats.url)
        ) as condition:

            async def has_failed() -> bool:
                return await condition.missing() == ["database"]

            await eventually(has_failed)
            await asyncio.to_thread(later.symlink_to, Path(sockets))
            await stream_reaches(nats, 8)
            await all_is_well(condition)

    assert ("relay_waits", "database") in [(line["event"], line.get("missing")) for line in lines]


async def test_it_goes_on_when_its_database_connections_were_cut(
    database, database_url, fresh_nats, nats
):
    async with relaying(settings(database_url, fresh_nats.url)) as condition:
        await all_is_well(condition)
        await database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = 'booking-relay'"
        )
        await write_events(database, 8)
        await stream_reaches(nats, 8)
        await all_is_well(condition)


async def test_a_login_that_may_not_relay_is_a_mistake_and_not_waited_for(database_url):
    wrong = settings(database_url.replace("booking@", "nobody@"), NOWHERE)

    with pytest.raises(Misconfigured, match="BOOKING_DATABASE_URL"):
        await keep_relaying(wrong, Condition(), asyncio.Event())


@pytest.mark.parametrize("url", ["nats://127.0.0.1:many", "127.0.0.1:4222,ws://127.0.0.1:1"])
async def test_an_address_that_is_none_is_a_mistake_and_not_waited_for(database_url, url):
    with pytest.raises(Misconfigured, match="BOOKING_NATS_URL"):
        await keep_relaying(settings(database_url, url), Condition(), asyncio.Event())


async def test_an_experiments_database_is_not_relayed_from(database, database_url):
    await database.execute("UPDATE booking.log_head SET last_line_removed = true")

    with pytest.raises(Misconfigured, match="experiment"):
        await keep_relaying(settings(database_url, NOWHERE), Condition(), asyncio.Event())


async def test_it_shows_its_health_and_its_lag(database, database_url, fresh_nats):
    def get(url: str) -> str:
        with urlopen(url) as answer:  # noqa: S310 our own loopback
            return answer.read().decode()

    await write_events(database, 8)
    stop = asyncio.Event()
    with capture_logs() as lines:
        task = asyncio.create_task(run(settings(database_url, fresh_nats.url), stop))
        (url,) = await eventually(
            lambda: [line["url"] for line in lines if line["event"] == "metrics_served"]
        )

        async def relayed() -> str | None:
            text = await asyncio.to_thread(get, url)
            return text if "booking_relay_stream_position 8.0" in text else None

        text = await eventually(relayed)
        ready = await asyncio.to_thread(get, url.replace("/metrics", "/health/ready"))
        stop.set()
        await task

    assert "booking_relay_log_position 8.0" in text
    assert "booking_relay_lag_events 0.0" in text
    assert "booking_relay_events_total 8.0" in text
    assert "ready" in ready


async def test_no_statement_of_a_relay_holds_a_snapshot_of_the_write_database_beyond_2_s(
    database_url,
):
    async with opened_log(database_url, environment="development") as log:
        assert await log.fetchval("SHOW statement_timeout") == "2s"
