"""Several API processes on one database: they meet at row locks, and any of them may die at any moment."""

import asyncio
import contextlib
import random
from collections.abc import Iterator
from itertools import cycle
from uuid import uuid4

import pytest
from api_process import ApiProcess, api_processes, audit
from eventually import eventually
from stays import Stays, open_nights

FAULTS = (
    "kill_after_commit:9",
    "kill_in_call:11",
    "kill_before_commit:7",
    "lose_connection:5",
    "kill_before_call:13",
    "kill_after_answer:8",
)
SEED = 20
ANSWERS_MIN = 100
STILL_DECIDING = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
AND application_name = 'booking-batcher' AND state <> 'idle'
"""


@pytest.fixture
async def two(database_url, tmp_path):
    async with api_processes(database_url, tmp_path, "first", "second") as processes:
        await asyncio.gather(*(each.start() for each in processes))
        yield processes


async def both_at_once(two, path: str, body: dict, key: str):
    """The same request to both processes, on connections that are open already, at one moment."""
    gate = asyncio.Barrier(2)

    async def ask(http):
        await gate.wait()
        return await http.post(path, json=body, headers={"Idempotency-Key": key})

    return await asyncio.gather(*(ask(http) for http in two))


async def assert_equal_requests_are_one(two, database, *, tries: int) -> None:
    async with two[0].client() as first, two[1].client() as second:
        nights = await open_nights(first, 2, capacity=10_000)
        await second.get("/health/live")
        stay = [{"slot_id": night, "units": 1} for night in nights]
        before = await database.fetchval('SELECT "position" FROM booking.log_head')
        for number in range(tries):
            key = str(uuid4())
            path, body = (
                ("/v1/bookings", {"customer_id": key, "mode": "book", "lines": stay}),
                ("/v1/resources", {"name": key, "time_zone": "UTC"}),
            )[number % 2]
            answers = await both_at_once((first, second), path, body, key)
            assert [answer.status_code for answer in answers] == [201, 201]
            assert answers[0].content == answers[1].content
            kept = ("location", "etag", "consistency-token")
            assert len({tuple(a.headers[name] for name in kept) for a in answers}) == 1
            assert sum("idempotent-replayed" in answer.headers for answer in answers) == 1
        head = await database.fetchval('SELECT "position" FROM booking.log_head')
        assert head - before == tries
        assert (
            await database.fetchval("SELECT max(confirmed) FROM booking.slot") == (tries + 1) // 2
        )


async def test_one_key_at_two_processes_at_the_same_moment_is_one_event_and_one_answer(
    two, database
):
    await assert_equal_requests_are_one(two, database, tries=200)


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_one_key_at_two_processes_at_the_same_moment_many_times(two, database):
    await assert_equal_requests_are_one(two, database, tries=5000)


async def dies_at_its_fault(process: ApiProcess, faults: Iterator[str], stays: Stays) -> None:
    """Started with one fault after another, as often as it dies of them; killed where it only was hurt."""
    while not stays.stopped.is_set():
        await process.start(fault=next(faults))
        ends = [asyncio.create_task(each) for each in (process.ended(), stays.stopped.wait())]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for each in ends:
            each.cancel()
        await process.kill()  # a lost connection leaves it alive, and on the port of the next


async def dies_at_random(process: ApiProcess, chance: random.Random, stays: Stays) -> None:
    """Killed after a moment, and started again."""
    while not stays.stopped.is_set():
        await process.start()
        try:
            async with asyncio.timeout(chance.uniform(0.1, 1.5)):
                await stays.stopped.wait()
        except TimeoutError:
            await process.kill()
            stays.kills += 1


async def sale_under_fire(
    database_url, database, folder, *, answers: int, most_s: float, seed: int
) -> tuple[Stays, int]:
    """Sells until so many answers were given, or as long as it may take; how many doubts had happened."""
    chance = random.Random(seed)  # noqa: S311 - a story that can be told again
    async with api_processes(database_url, folder, "first", "second", "calm") as processes:
        first, second, calm = processes
        await calm.start()
        async with calm.client() as http:
            nights = await open_nights(http, 10, capacity=60)
            stays = Stays([first, second], nights, chance)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(dies_at_its_fault(first, cycle(FAULTS), stays))
                tasks.create_task(dies_at_random(second, chance, stays))
                tasks.create_task(stays.sell(guests=12))
                with contextlib.suppress(AssertionError):  # a slow machine has told a shorter story
                    await eventually(
                        lambda: len(stays.told) >= answers and stays.kills and stays.unanswered,
                        within_s=most_s,
                    )
                early = await stays.fates(http)
                stays.stopped.set()
            assert len(stays.told) >= ANSWERS_MIN
            assert stays.kills
            assert stays.unanswered
            await asyncio.gather(first.kill(), second.kill())

            async def nobody_decides() -> bool:
                return await database.fetchval(STILL_DECIDING) == 0

            await eventually(nobody_decides, within_s=10)
            happened = await stays.assert_every_promise_was_kept(http, database)
            for key, status in early.items():
                assert (await http.get(f"/v1/commands/{key}")).status_code == status, "was final"
            code, said = await audit(database_url)
            assert code == 0, said
    return stays, happened


async def test_stays_sold_by_two_processes_that_keep_dying_are_never_oversold_and_never_in_doubt(
    database_url, database, tmp_path
):
    await sale_under_fire(database_url, database, tmp_path, answers=300, most_s=20, seed=SEED)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [SEED + 1, SEED + 2])
async def test_a_long_sale_of_stays_by_two_processes_that_keep_dying(
    database_url, database, tmp_path, seed
):
    stays, happened = await sale_under_fire(
        database_url, database, tmp_path, answers=20_000, most_s=120, seed=seed
    )
    assert 0 < happened < len(stays.unanswered)
