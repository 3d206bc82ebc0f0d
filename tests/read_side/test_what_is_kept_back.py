"""An injected lag: what is heard waits in order, however long; what is late already does not."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import msgspec
import pytest
from eventually import eventually

from booking.events.messages import Heartbeat
from projector.consumer.due import Due
from projector.consumer.intake import Intake
from projector.consumer.metrics import ConsumerMetrics
from projector.consumer.silence import Silence
from projector.log_reader import LogHead
from projector.queries.standing import Standing
from projector.replica.follower import KEPT_BACK_MAX, Follower, News
from projector.replica.memory import Replica
from projector.replica.watchers import Watchers
from projector.settings import Settings

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


def longest_lag() -> timedelta:
    (field,) = (
        each
        for each in msgspec.inspect.type_info(Settings).fields
        if each.name == "injected_lag_ms"
    )
    return timedelta(milliseconds=field.type.le)


@pytest.mark.parametrize("every", [timedelta(milliseconds=100), timedelta(milliseconds=10)])
async def test_under_the_longest_lag_an_idle_view_grows_no_older_than_that(every):
    """Ten heartbeats a second are a relay's; whoever polls makes as many as it asks."""
    clock, lag, stream = Clock(), longest_lag(), Silence()
    intake = Intake(None, stream, Due(lag, clock), ConsumerMetrics())
    begun = clock.now
    intake.begin(EPOCH, after=0, event_id=None, head=LogHead(epoch=EPOCH, position=0, at=begun))
    as_of = begun - lag
    while clock.now < begun + 1.1 * lag:
        clock.now += every
        stream.heartbeats.append(Heartbeat(epoch=EPOCH, position=0, at=clock.now))
        await intake.collect()
        if heard := intake.heard(0):
            as_of = heard.at
        assert as_of <= clock.now - lag
    assert clock.now - lag - as_of <= timedelta(milliseconds=200)
