"""as_of is a moment up to which everything was heard, and never a later one."""

import asyncio
from datetime import timedelta

from at_work import answering, projecting
from eventually import eventually
from relaying import relaying

from projector.guards.checkpoint_compare_and_set import read_checkpoint

LAG_MS = 300


async def business_under_watch(log, owner, *, bookings: int) -> tuple[set, list]:
    """Book while somebody looks; answers what was seen, and each claim of more than was heard.

    A claim is a lie when a command had returned to its caller by as_of and is not applied.
    """
    seen: set[tuple] = set()
    returned: list[tuple] = []  # position, and the database's time after the commit had returned

    async def watch() -> None:
        while True:
            now = await read_checkpoint(owner)
            if now.as_of is not None:
                seen.add((now.position, now.as_of))

    watching = asyncio.create_task(watch())
    slot_id = await log.slot(capacity=500)
    for _ in range(bookings):
        await log.hold(slot_id)
        returned.append((log.position, await owner.fetchval("SELECT clock_timestamp()")))

    async def caught_up() -> bool:
        return await owner.fetchval("SELECT position FROM read_model.checkpoint") == log.position

    await eventually(caught_up, within_s=8)
    assert not watching.done(), "it was watched to the end"
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    lies = [
        (applied, as_of, position)
        for applied, as_of in seen
        for position, at in returned
        if at <= as_of and position > applied
    ]
    return seen, lies


async def test_with_the_relay_nothing_is_claimed_that_was_not_heard(
    log, owner, writer, fresh_nats, database_url
):
    async with relaying(database_url, fresh_nats.url), projecting(writer, fresh_nats.url):
        seen, lies = await business_under_watch(log, owner, bookings=150)
    assert seen
    assert lies == []


async def test_when_polling_nothing_is_claimed_that_was_not_heard(log, owner, writer):
    async with projecting(writer, None, poll_s=0.005):
        seen, lies = await business_under_watch(log, owner, bookings=150)
    assert seen
    assert lies == []


async def test_who_is_late_says_so(log, owner, writer):
    async with projecting(writer, None, poll_s=0.005, lag_ms=LAG_MS):
        seen, lies = await business_under_watch(log, owner, bookings=20)
    assert seen
    assert lies == []


async def test_without_the_watermark_it_says_that_it_is_up_to_date_while_it_is_behind(
    log, owner, writer
):
    async with projecting(writer, None, poll_s=0.005, lag_ms=LAG_MS, guard="no_watermark"):
        _, lies = await business_under_watch(log, owner, bookings=20)
    assert lies


async def age_of_a_slot(url: str, guard: str, slot_id) -> int:
    """What a query node says 3 s after its projector was last heard of."""
    settings = {"environment": "laboratory", "sync": "polling", "guard": guard}
    async with answering(url, "", **settings) as api:
        answer = await eventually(lambda: api.get(f"/v1/slots/{slot_id}"))
        return int(answer.headers["age"])


async def test_a_node_whose_projector_sleeps_says_how_old_its_answer_is(
    log, owner, writer, database_url
):
    slot_id = await log.slot()
    async with projecting(writer, None, poll_s=0.02):

        async def there() -> bool:
            return (await read_checkpoint(owner)).position == 1

        await eventually(there)
    # The projector is gone; what it heard last was a while ago.
    await owner.execute("UPDATE read_model.checkpoint SET as_of = as_of - interval '3 s'")
    await log.hold(slot_id)
    assert await age_of_a_slot(database_url, "every_guard", slot_id) >= 3
    assert await age_of_a_slot(database_url, "no_watermark", slot_id) == 0


async def test_a_heartbeat_counts_once_all_that_it_speaks_of_is_applied(log, owner, writer, stream):
    await log.slot()
    await stream.copy()
    async with projecting(writer, stream.url) as projector:
        at = await owner.fetchval("SELECT clock_timestamp()") + timedelta(days=1)
        await stream.say(position=2, at=at)
        await eventually(lambda: [h.position for h in projector.intake.unheard][-1:] == [2])
        assert (await read_checkpoint(owner)).as_of < at
        await log.slot()
        await stream.copy()

        async def raised() -> bool:
            return (await read_checkpoint(owner)).as_of == at

        await eventually(raised)


async def test_a_heartbeat_of_an_older_history_counts_for_nobody(log, owner, writer, stream):
    await log.slot()
    await stream.copy()
    async with projecting(writer, stream.url) as projector:
        at = await owner.fetchval("SELECT clock_timestamp()") + timedelta(days=1)
        await stream.say(position=0, at=at, epoch="00000000-0000-7000-8000-000000000000")
        await stream.client.flush()
        heartbeat = await stream.heartbeat()

        async def heard() -> bool:
            return (await read_checkpoint(owner)).as_of >= heartbeat.at

        await eventually(heard)
        assert not projector.stream.heartbeats
        assert (await read_checkpoint(owner)).as_of < at
