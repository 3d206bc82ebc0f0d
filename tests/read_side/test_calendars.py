"""Pages of availability from memory: exactly what the tables held at the position they name."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import msgspec
import pytest
from at_work import projecting
from eventually import eventually
from test_reads import seen

from projector.api import wait
from projector.api.metrics import ReadMetrics
from projector.consumer.due import Due
from projector.replica import calendars
from projector.replica.follower import Follower, News
from projector.replica.memory import Replica
from projector.replica.poll import SlotPoll
from projector.replica.watchers import Watchers


@pytest.fixture
def metrics_made(monkeypatch) -> list[ReadMetrics]:
    """The metrics of nodes opened from now on."""
    made: list[ReadMetrics] = []

    class Kept(ReadMetrics):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)

    monkeypatch.setattr(wait, "ReadMetrics", Kept)
    return made


def pages(metrics: ReadMetrics, source: str) -> float:
    name = "queries_calendar_pages_total"
    return metrics.registry.get_sample_value(name, {"source": source}) or 0


async def test_a_page_from_memory_is_what_the_log_had_said_at_its_position(
    metrics_made, log, stream, api
):
    hall = await log.resource()
    slots = [await log.slot(hall, capacity=500, in_days=n) for n in range(1, 6)]
    told = {log.position: {slot: dict(log._slots[slot]) for slot in slots}}
    await stream.copy()
    path = f"/v1/availability?resource_id={hall}"
    await seen(api, path, log.position)

    async def sell():
        held = []
        for number in range(80):
            if number % 9 == 8:
                slots.append(await log.slot(hall, capacity=5, in_days=6))
            elif number % 5 == 4:
                await log.cancel(held.pop(0))
            else:
                held.append(await log.hold(slots[number % 5], slots[(number + 2) % 5]))
            told[log.position] = {slot: dict(log._slots[slot]) for slot in slots}
            await stream.copy()

    selling = asyncio.create_task(sell())
    positions = set()
    while not selling.done():
        page = (await api.get(path)).json()
        positions.add(page["position"])
        for slot in page["slots"]:
            expected = next(
                state
                for slot_id, state in told[page["position"]].items()
                if str(slot_id) == slot["slot_id"]
            )
            for name in ("version", "held", "confirmed", "remaining", "state"):
                assert slot[name] == expected[name], page["position"]
        assert len(page["slots"]) == len(told[page["position"]])
        keys = [(slot["starts_at"], slot["slot_id"]) for slot in page["slots"]]
        assert keys == sorted(keys)
    await selling
    [metrics] = metrics_made
    assert len(positions) > 5
    assert pages(metrics, "memory") > pages(metrics, "tables")


async def test_pages_from_memory_and_from_the_tables_are_the_same(
    metrics_made, log, stream, api, monkeypatch
):
    hall = await log.resource()
    slots = [await log.slot(hall, capacity=number, in_days=number % 4) for number in range(1, 12)]
    await log.close(slots[4])
    await log.hold(slots[9], units=3)
    await stream.copy()
    path = f"/v1/availability?resource_id={hall}&from=2000-01-01T00:00:00Z&limit=3"
    for_long = "&to=2100-01-01T00:00:00Z"
    await seen(api, path, log.position)

    async def all_pages(query: str) -> list:
        found, cursor = [], ""
        while cursor is not None:
            page = (await api.get(f"{path}{query}{cursor and f'&cursor={cursor}'}")).json()
            found += page["slots"]
            cursor = page["next_cursor"]
        return found

    queries = (for_long, f"{for_long}&units=4", "&to=2000-01-02T00:00:00Z", f"{for_long}&units=99")
    from_memory = [await all_pages(query) for query in queries]
    assert [len(found) for found in from_memory][:1] == [11]
    monkeypatch.setattr(calendars.Calendars, "find", nothing_held)
    [metrics] = metrics_made
    assert pages(metrics, "memory") > 5
    read_before = pages(metrics, "tables")
    assert [await all_pages(query) for query in queries] == from_memory
    assert pages(metrics, "tables") > read_before + 5


async def nothing_held(self, **_):
    return None


async def test_when_rows_are_replaced_as_a_whole_no_calendar_survives(
    log, stream, api, owner, projector
):
    hall = await log.resource()
    await log.slot(hall)
    await stream.copy()
    path = f"/v1/availability?resource_id={hall}"
    await seen(api, path, log.position)
    assert (await api.get(path)).json()["slots"][0]["capacity"] == 100
    async with owner.acquire() as connection, connection.transaction():
        await connection.execute("UPDATE read_model.slot SET capacity = 55")
        await connection.execute("UPDATE read_model.checkpoint SET generation = generation + 1")

    async def replaced() -> bool:
        await stream.heartbeat()
        return (await api.get(path)).json()["slots"][0]["capacity"] == 55

    await eventually(replaced, within_s=10)


async def test_a_resource_too_large_for_memory_is_read_page_by_page(
    metrics_made, log, stream, api, monkeypatch
):
    monkeypatch.setattr(calendars, "SLOTS_OF_ONE_MAX", 2)
    hall = await log.resource()
    for number in range(1, 4):
        await log.slot(hall, in_days=number)
    await stream.copy()
    path = f"/v1/availability?resource_id={hall}"
    await seen(api, path, log.position)
    [metrics] = metrics_made
    from_memory = pages(metrics, "memory")  # while it was small
    assert len((await api.get(path)).json()["slots"]) == 3
    assert pages(metrics, "memory") == from_memory


async def test_calendars_that_nobody_reads_make_room(metrics_made, log, stream, api, monkeypatch):
    monkeypatch.setattr(calendars, "SLOTS_MAX", 10)
    hall = await log.resource()
    await log.slot(hall)
    await stream.copy()
    await seen(api, f"/v1/availability?resource_id={hall}", log.position)
    for _ in range(30):  # of resources that do not even exist
        await api.get(f"/v1/availability?resource_id={uuid4()}")
    assert (await api.get(f"/v1/availability?resource_id={hall}")).json()["slots"]


@pytest.mark.parametrize("heard", ["a hole", "a poll that did not know it"])
async def test_a_calendar_that_missed_a_change_since_it_was_read_is_not_answered_from(
    heard, log, writer, owner
):
    hall = await log.resource()
    await log.slot(hall)
    async with projecting(writer, None, poll_s=0.01) as projector:
        await eventually(lambda: projector.checkpoint.position == log.position)
    follower = Follower(Replica(), Watchers(), Due(timedelta(0), lambda: datetime.now(UTC)))
    await SlotPoll(follower, owner, every_s=60).run_once()
    held = calendars.Calendars(owner, follower)
    poll = follower.replica.poll(slots_max=10)
    here = follower.standing
    further = msgspec.structs.replace(here, position=here.position + 2)

    async def find():
        now = datetime.now(UTC)
        return await held.find(
            resource_id=hall,
            starts_from=now,
            starts_before=now + timedelta(days=9),
            units=None,
            after=None,
            limit=9,
        )

    def hear(_) -> None:
        if heard == "a hole":
            follower.hear(News(now=further, changes=[], previous=here.position + 1))
        else:
            follower.hear(News(now=further, changes=[], poll=poll, followed_before=0))

    finding = asyncio.create_task(find())
    await asyncio.sleep(0)  # so that it asks the tables
    held._being_read[hall].add_done_callback(hear)  # when it is read, and before it is used
    assert await finding is None
    assert follower.standing is further
