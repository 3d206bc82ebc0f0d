"""Who waits for a position: woken when it is applied, and gone without a trace when they give up."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from projector.consumer.due import Due
from projector.queries.standing import Standing
from projector.replica import follower as following
from projector.replica.follower import Follower, News
from projector.replica.memory import Replica
from projector.replica.watchers import Watchers

EPOCH = uuid4()
NOW = datetime.now(UTC)


@pytest.fixture
def follower() -> Follower:
    follower = Follower(Replica(), Watchers(), Due(timedelta(0), lambda: NOW))
    follower.hear(news(1))
    return follower


def news(position: int) -> News:
    now = Standing(epoch=EPOCH, generation=1, position=position, as_of=NOW)
    return News(now=now, changes=[], previous=position - 1)


async def leave(waiting: "list[asyncio.Task[bool]]") -> None:
    """What becomes of a request whose client has gone."""
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def begun(follower: Follower, *positions: int) -> "list[asyncio.Task[bool]]":
    waiting = [
        asyncio.create_task(follower.reached(position, timeout_s=60)) for position in positions
    ]
    await asyncio.sleep(0)
    return waiting


async def test_who_waits_is_woken_by_the_position_and_not_before(follower):
    two, three = await begun(follower, 2, 3)
    follower.hear(news(2))
    assert await two
    assert not three.done()
    follower.hear(news(3))
    assert await three


async def test_many_who_leave_before_a_far_position_do_not_pile_up(follower, monkeypatch):
    monkeypatch.setattr(following, "GIVEN_UP_MAX", 10)
    for _ in range(20):
        await leave(await begun(follower, *[1_000_000] * 10))
        assert len(follower._waiting) <= 20


async def test_nor_do_those_whose_time_is_up(follower, monkeypatch):
    monkeypatch.setattr(following, "GIVEN_UP_MAX", 10)
    for _ in range(20):
        tries = [follower.reached(1_000_000, timeout_s=0) for _ in range(10)]
        assert not any(await asyncio.gather(*tries))
        assert len(follower._waiting) <= 20


async def test_who_stays_is_woken_however_many_have_left(follower, monkeypatch):
    monkeypatch.setattr(following, "GIVEN_UP_MAX", 10)
    staying = await begun(follower, 4, 2, 3)
    for _ in range(5):
        await leave(await begun(follower, *[1_000_000] * 10))
    for position in (2, 3, 4):
        follower.hear(news(position))
    assert await asyncio.gather(*staying) == [True, True, True]
