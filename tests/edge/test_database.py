"""Connections: under their role, with deadlines; a clock that claims no more than it knows."""

import asyncio
import sys
import time
from datetime import timedelta
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
from eventually import eventually

from booking.edge.database import (
    CONNECTION_LOST,
    DatabaseClock,
    NoDatabaseTime,
    open_pool,
    refuse_unsafe,
    seconds_passed,
)
from booking.edge.failures import Misconfigured
from booking.edge.serving import bind


def pool_of(url: str, role: str = "booking_writer", **more: object):
    return open_pool(url, role=role, name="test", size_max=2, statement_timeout_ms=300, **more)


async def test_every_connection_acts_as_its_role_and_within_its_deadlines(database_url):
    async with await pool_of(database_url) as pool:
        row = await pool.fetchrow(
            "SELECT current_user, current_setting('application_name') AS name, "
            "current_setting('lock_timeout') AS lock_timeout"
        )
        assert tuple(row) == ("booking_writer", "test", "2s")
        with pytest.raises(asyncpg.QueryCanceledError):
            await pool.execute("SELECT pg_sleep(10)")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"role": "nobody_we_know"}, "no role nobody_we_know.*booking migrate"),
        ({"variable": "PROJECTOR_DATABASE_URL", "role": "nope"}, "PROJECTOR_DATABASE_URL"),
    ],
)
async def test_a_missing_role_is_a_sentence(database_url, changed, said):
    with pytest.raises(Misconfigured, match=said):
        await pool_of(database_url, **changed)


async def test_a_missing_database_is_a_sentence(database_url):
    with pytest.raises(Misconfigured, match="BOOKING_DATABASE_URL does not exist"):
        await pool_of(database_url.replace("/test_", "/no_such_test_"))


@pytest.mark.parametrize("url", ["nonsense", "http://127.0.0.1", "postgres://127.0.0.1:x/d"])
async def test_a_url_that_is_none_is_a_sentence(url):
    with pytest.raises(Misconfigured, match="BOOKING_DATABASE_URL"):
        await pool_of(url)


async def test_an_unreachable_database_is_a_sentence():
    with bind("127.0.0.1", 0) as vacant:
        port = vacant.getsockname()[1]
    with pytest.raises(Misconfigured, match="BOOKING_DATABASE_URL cannot be reached"):
        await pool_of(f"postgres://u@127.0.0.1:{port}/d")


async def test_a_database_that_accepts_and_says_nothing_is_a_sentence(monkeypatch):
    monkeypatch.setattr("booking.edge.database.CONNECT_TIMEOUT_S", 0.2)
    with bind("127.0.0.1", 0) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(Misconfigured, match="BOOKING_DATABASE_URL did not answer"):
            await pool_of(f"postgres://u@127.0.0.1:{port}/d")


async def test_a_login_that_may_not_take_the_role_is_a_sentence(database, database_url):
    await database.execute("DROP ROLE IF EXISTS stranger; CREATE ROLE stranger LOGIN")
    with pytest.raises(Misconfigured, match="grant it that role"):
        await pool_of(database_url.replace("//booking@", "//stranger@"))
    await database.execute("DROP ROLE stranger")


async def test_the_clock_brackets_the_time_of_the_database(database_url):
    async with await pool_of(database_url) as pool, DatabaseClock(pool) as clock:
        for _ in range(20):
            least = clock.now_at_least()
            told = await pool.fetchval("SELECT clock_timestamp()")
            assert least <= told <= clock.now_at_most()
        assert clock.now_at_most() - clock.now_at_least() < timedelta(seconds=1)
        assert clock.reading_age_s < 5


async def test_waiting_for_a_connection_does_not_make_the_clock_vague(database_url, monkeypatch):
    async with await pool_of(database_url) as pool:
        clock = DatabaseClock(pool)
        held = [await pool.acquire(), await pool.acquire()]
        reading = asyncio.create_task(clock.read_once())
        await asyncio.sleep(0)  # one round of the loop, in which the reading begins to wait
        passed_s = seconds_passed() + 100
        monkeypatch.setattr("booking.edge.database.seconds_passed", lambda: passed_s)
        for connection in held:
            await pool.release(connection)
        await reading
        assert clock.now_at_most() == clock.now_at_least()


SLEPT_S = 20.0


@pytest.fixture
def machine(monkeypatch) -> SimpleNamespace:
    """One that can be made to sleep: its event loop's clock stands still meanwhile, as Linux's does."""
    machine = SimpleNamespace(slept_s=0.0)
    monkeypatch.setattr(
        "booking.edge.database.seconds_passed", lambda: seconds_passed() + machine.slept_s
    )
    return machine


async def test_what_the_machine_slept_has_passed(database_url, machine):
    async with await pool_of(database_url) as pool, DatabaseClock(pool) as clock:
        before = clock.now_at_most()
        machine.slept_s = SLEPT_S
        assert clock.now_at_most() - before > timedelta(seconds=SLEPT_S)


async def test_a_machine_that_slept_asks_for_the_time_within_a_second(database_url, machine):
    async with await pool_of(database_url) as pool, DatabaseClock(pool) as clock:
        await asyncio.sleep(0)  # one round of the loop, in which the task that keeps reading begins
        machine.slept_s = SLEPT_S
        assert clock.reading_age_s > SLEPT_S
        await eventually(lambda: clock.reading_age_s < SLEPT_S, within_s=2)
        assert clock.now_at_least() <= await pool.fetchval("SELECT clock_timestamp()")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have one clock for both")
def test_on_linux_the_clock_that_is_read_is_the_one_that_goes_on_asleep(monkeypatch):
    asked = []
    monkeypatch.setattr(time, "clock_gettime", lambda clock: asked.append(clock) or 1.5)
    assert seconds_passed() == 1.5
    assert asked == [time.CLOCK_BOOTTIME]


@pytest.mark.parametrize("password", ["s3cret/part", "s3cret#part", "more@home:s3cret"])
async def test_a_password_that_breaks_the_url_is_not_told(password):
    with pytest.raises(Misconfigured) as refused:
        await pool_of(
            f"postgresql://booking:{password}@127.0.0.1:1/booking", variable="BOOKING_DATABASE_URL"
        )
    assert "s3c" not in str(refused.value)
    assert "home" not in str(refused.value)


async def test_a_clock_nobody_could_read_says_so_instead_of_guessing(database_url, monkeypatch):
    pool = await pool_of(database_url)
    clock = DatabaseClock(pool)
    with pytest.raises(NoDatabaseTime):
        clock.now_at_most()
    await clock.read_once()
    assert clock.now_at_most()
    monkeypatch.setattr("booking.edge.database.CLOCK_GOOD_FOR_S", -1)
    with pytest.raises(NoDatabaseTime):
        clock.now_at_least()
    await pool.close()


async def test_a_database_that_is_away_at_the_start_ends_no_clock(database_url):
    pool = await pool_of(database_url)
    await pool.close()
    async with DatabaseClock(pool) as clock:
        with pytest.raises(NoDatabaseTime):
            clock.now_at_most()
        await asyncio.sleep(0)  # one round of the loop, in which the task that keeps reading begins


async def test_a_sound_database_is_used(database_url):
    async with await pool_of(database_url) as pool, pool.acquire() as connection:
        await refuse_unsafe(connection, environment="production", role="booking_writer")


async def test_a_database_without_its_last_line_is_for_the_laboratory_only(database, database_url):
    await database.execute("UPDATE booking.log_head SET last_line_removed = true")
    async with await pool_of(database_url) as pool, pool.acquire() as connection:
        for environment in ("production", "development"):
            with pytest.raises(Misconfigured, match="BOOKING_ENVIRONMENT=laboratory"):
                await refuse_unsafe(connection, environment=environment, role="booking_writer")
        await refuse_unsafe(connection, environment="laboratory", role="booking_writer")


@pytest.mark.parametrize("privilege", ["UPDATE", "DELETE", "TRUNCATE"])
async def test_a_role_that_could_rewrite_history_is_refused(database, database_url, privilege):
    await database.execute(f"GRANT {privilege} ON booking.event_log TO booking_writer")
    async with await pool_of(database_url) as pool, pool.acquire() as connection:
        with pytest.raises(Misconfigured, match=privilege):
            await refuse_unsafe(connection, environment="production", role="booking_writer")


async def test_a_database_that_was_never_migrated_is_a_sentence(database_url, empty_database_url):
    async with await pool_of(empty_database_url) as pool, pool.acquire() as connection:
        with pytest.raises(Misconfigured, match="booking migrate"):
            await refuse_unsafe(connection, environment="production", role="booking_writer")


async def test_a_statement_sent_after_the_servers_farewell_finds_a_lost_connection(
    database, database_url
):
    """The farewell is heard and the socket still open: the driver calls that an error of its own."""
    folder = parse_qs(urlsplit(database_url).query)["host"][0]
    farewell = asyncio.Event()

    async def forward(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)

    async def between(reader, writer):
        answers, requests = await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.5432")
        asking = asyncio.create_task(forward(reader, requests))
        await forward(answers, writer)
        await writer.drain()
        farewell.set()
        await asking
        requests.close()
        writer.close()

    async with await asyncio.start_server(between, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        connection = await asyncpg.connect(database_url, host="127.0.0.1", port=port)
        try:
            await database.execute("SELECT pg_terminate_backend($1)", connection.get_server_pid())
            await farewell.wait()
            await database.execute("SELECT 1")  # by its answer the farewell has been read
            with pytest.raises(CONNECTION_LOST) as complained:
                async with asyncio.timeout(10):
                    await connection.execute("SELECT 1")
            assert complained.type is asyncpg.InternalClientError
        finally:
            connection.terminate()
