"""The same without NATS: a query node asks the tables what became of the slots it holds.

With PROJECTOR_SYNC=polling this is how a node keeps up, with events it is what happens while the feed
is silent. One statement per round reads the checkpoint and, when it has moved, the newer rows.
"""

import asyncio
import time
from collections.abc import Callable
from uuid import UUID

import asyncpg
import structlog

from booking.edge.database import UNREACHABLE
from projector.queries.poll_slots import poll_slots
from projector.replica.follower import Follower, News
from projector.replica.memory import Told

POLLED_SLOTS_MAX = 2_000
"""Every round asks for all of them; so many take a few milliseconds."""
KNOWN_MAX = 50_000
"""Versions told of slots that are followed but not held; beyond it they are told once more."""

_log = structlog.get_logger(__name__)


class SlotPoll:
    """Polls while it is needed."""

    def __init__(
        self,
        follower: Follower,
        read_model: asyncpg.Pool,
        *,
        every_s: float,
        needed: Callable[[], bool] = lambda: True,
    ) -> None:
        self.polls = 0
        self._follower = follower
        self._read_model = read_model
        self._every_s = every_s
        self._needed = needed
        self._known: dict[UUID, int] = {}

    async def run(self) -> None:
        """Poll until cancelled, through any absence of the database."""
        failing = False
        while True:
            started = time.monotonic()
            if self._needed():
                try:
                    await self.run_once()
                    failing = False
                except UNREACHABLE as error:
                    if not failing:
                        _log.warning("read_model_not_polled", reason=str(error))
                    failing = True
            await asyncio.sleep(max(0.0, self._every_s - (time.monotonic() - started)))

    async def run_once(self) -> int:
        """One round; how many slots were newer."""
        follower, watchers = self._follower, self._follower.watchers
        followed_before = watchers.newest()
        poll = follower.replica.poll(slots_max=POLLED_SLOTS_MAX)
        if len(self._known) > KNOWN_MAX or not len(watchers):
            self._known.clear()
        versions = dict.fromkeys(watchers.slot_ids, 0) | self._known | dict(poll.versions)
        standing = follower.standing
        now, slots = await poll_slots(
            self._read_model,
            versions=versions,
            resource_ids=list(watchers.resource_ids),
            seen=None if standing is None else (standing.generation, standing.position),
        )
        self.polls += 1
        if not self._needed():
            return 0  # the feed is back, and what it told meanwhile goes before this
        if now is None:
            follower.replica.silent()  # rebuilding: what is held is of a history that is lost
            return 0
        if standing is None or (now.epoch, now.generation) != (standing.epoch, standing.generation):
            self._known.clear()  # versions of a lost history must not hide the new one's
        self._known.update((slot.slot_id, slot.version) for slot in slots)
        news = News(
            now=now,
            changes=[Told(slot) for slot in slots],
            poll=poll,
            followed_before=followed_before,
        )
        follower.hear(news)
        return len(slots)
