"""An injected lag on a query node: what is heard waits in order, and what is late already does not."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from eventually import eventually

from projector.consumer.due import Due
from projector.queries.standing import Standing
from projector.replica.follower import KEPT_BACK_MAX, Follower, News
from projector.replica.memory import Replica
from projector.replica.watchers import Watchers

LAG = timedelta(seconds=5)
EPOCH = uuid4()


class Clock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


def late_follower(clock: Clock) -> Follower:
    return Follower(Replica(), Watchers(), Due(LAG, clock))


def news(position: int, as_of: datetime) -> News:
    now = Standing(epoch=EPOCH, generation=1, position=position, as_of=as_of)
    return News(now=now, changes=[], previous=position - 1)


async def test_a_message_is_kept_back_until_it_is_as_old_as_the_lag():
    clock = Clock()
    follower = late_follower(clock)
    follower.hear(news(1, clock.now - LAG))
    assert follower.standing.position == 1  # late already: the feed's lag and ours do not add up
    follower.hear(news(2, clock.now - LAG + timedelta(milliseconds=20)))
    follower.hear(news(3, clock.now - LAG + timedelta(milliseconds=40)))
    assert follower.standing.position == 1
    clock.now += timedelta(milliseconds=20)
    await eventually(lambda: follower.standing.position == 2)
    clock.now += timedelta(milliseconds=20)
    await eventually(lambda: follower.standing.position == 3)


async def test_what_is_due_waits_for_what_was_heard_before_it():
    clock = Clock()
    follower = late_follower(clock)
    follower.hear(news(1, clock.now - LAG))
    follower.hear(news(2, clock.now - LAG + timedelta(milliseconds=20)))
    follower.hear(news(3, clock.now - 2 * LAG))
    assert follower.standing.position == 1
    clock.now += timedelta(milliseconds=20)
    await eventually(lambda: follower.standing.position == 3)
    assert follower.holes == 0


async def test_too_much_to_keep_back_is_let_go_of_and_shows_as_a_hole():
    clock = Clock()
    follower = late_follower(clock)
    follower.hear(news(1, clock.now - LAG))
    due = clock.now - LAG + timedelta(milliseconds=20)
    for position in range(2, KEPT_BACK_MAX + 4):
        follower.hear(news(position, due))
    clock.now += timedelta(milliseconds=20)
    await eventually(lambda: follower.standing.position == KEPT_BACK_MAX + 3)
    assert follower.holes == 1
