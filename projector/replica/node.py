"""What a query node knows of the read model by itself: its replica, kept up by feed or poll.

Opened once per process. It says once a second how far it has come, so that others can list it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
import structlog

from booking.edge.database import UNREACHABLE, DatabaseClock
from booking.edge.ending import end
from projector.consumer.due import Due
from projector.consumer.report import REPORT_S
from projector.guards import GUARDS
from projector.queries.report_query_node import leave, report_query_node
from projector.replica.feed import ChangeFeed
from projector.replica.follower import Follower
from projector.replica.memory import SLOTS_MAX, Replica
from projector.replica.poll import POLLED_SLOTS_MAX, SlotPoll
from projector.replica.rules import Rules
from projector.replica.slots import ReplicatedSlots
from projector.replica.watchers import Watchers
from projector.settings import Settings

POLL_IN_SILENCE_S = 0.05
"""How often the tables are asked while the feed says nothing."""

_log = structlog.get_logger(__name__)


class QueryNode:
    """The node's parts; `feed` is None where the tables are polled instead."""

    def __init__(
        self, settings: Settings, read_model: asyncpg.Pool, clock: DatabaseClock, *, name: str
    ) -> None:
        polling = settings.sync == "polling"
        due = Due(timedelta(milliseconds=settings.injected_lag_ms), clock.now_at_least)
        self.replica = Replica(
            slots_max=POLLED_SLOTS_MAX if polling else SLOTS_MAX,
            rules=Rules(newer_only=GUARDS[settings.guard].newer_version_only),
        )
        self.follower = Follower(self.replica, Watchers(), due)
        self.slots = ReplicatedSlots(read_model, self.replica, due)
        self.feed = None if polling else ChangeFeed(self.follower, settings.nats_url, name=name)
        feed = self.feed
        self.poll = SlotPoll(
            self.follower,
            read_model,
            every_s=settings.poll_ms / 1000 if feed is None else POLL_IN_SILENCE_S,
            needed=(lambda: True) if feed is None else (lambda: feed.silent),
        )
        self.name = name
        self._read_model = read_model

    async def report_forever(self) -> None:
        """Say once a second how far this node has come."""
        failing = False
        while True:
            await asyncio.sleep(REPORT_S)
            standing = self.follower.standing
            if standing is None:
                continue
            try:
                await report_query_node(
                    self._read_model,
                    node=self.name,
                    applied=standing.position,
                    as_of=standing.as_of,
                )
                failing = False
            except UNREACHABLE as error:
                if not failing:
                    _log.warning("query_node_report_not_written", reason=str(error))
                failing = True


@asynccontextmanager
async def open_query_node(
    settings: Settings, read_model: asyncpg.Pool, clock: DatabaseClock, *, name: str
) -> AsyncIterator[QueryNode]:
    """A node that follows the read model until the end, and then leaves the list of nodes."""
    if settings.injected_lag_ms:
        _log.warning("lag_is_injected", lag_ms=settings.injected_lag_ms)
    node = QueryNode(settings, read_model, clock, name=name)
    tasks = [
        asyncio.create_task(node.poll.run(), name="slot-poll"),
        asyncio.create_task(node.report_forever(), name="query-node-report"),
    ]
    if node.feed is not None:
        # Not in one group: that would pass on the first request to end, and not the second.
        tasks.append(asyncio.create_task(node.feed.listen(), name="change-feed"))
        tasks.append(asyncio.create_task(node.feed.notice_silence(), name="change-feed-silence"))
    try:
        yield node
    finally:
        await end(*tasks)
        await leave(read_model, node=name)
