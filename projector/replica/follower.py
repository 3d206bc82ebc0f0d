"""A query node's knowledge of how far the read model has come, without asking for it each time.

What the change feed or a poll of the tables tells goes through here in order: into the replica, to
those who wait for a position, and to those who follow slots. Whoever waits holds no database
connection. With an injected lag (laboratory) everything is kept back until it may be known.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Sequence
from itertools import count

from msgspec import Struct

from projector.consumer.due import Due
from projector.queries.standing import Standing
from projector.replica.memory import Poll, Replica, Told
from projector.replica.watchers import Watchers

GIVEN_UP_MAX = 1000
"""Waiters whose time was up, or who have gone, stay in the queue until so many have gathered."""
KEPT_BACK_MAX = 50_000
"""Messages; ten a second of an idle read model, some hundreds of a busy one."""


class News(Struct, frozen=True, kw_only=True):
    """Where the read model stands now, and what changed on the way there."""

    now: Standing
    changes: Sequence[Told]
    previous: int | None = None
    """Of a message: the position it continues from."""
    poll: Poll | None = None
    """Of a poll: what it asked for."""
    followed_before: int = 0
    """Of a poll: the number of the last watcher it knew."""


class Follower:
    """Follows the read model."""

    def __init__(self, replica: Replica, watchers: Watchers, due: Due) -> None:
        self.replica = replica
        self.watchers = watchers
        self.due = due
        self.holes = 0
        self._kept_back: deque[News] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()
        self._given_up = 0
        self._next_move: asyncio.Future[None] | None = None

    @property
    def standing(self) -> Standing | None:
        """Where the read model stands, as far as this node may know; None before anything was heard."""
        return self.replica.standing

    def hear(self, news: News) -> None:
        """Take in what was heard, at once or as soon as it may be known."""
        if not self._kept_back and not self.due.wait_s(news.now.as_of):
            self._take(news)
            return
        if len(self._kept_back) >= KEPT_BACK_MAX:
            self._kept_back.clear()  # what follows will not continue from here: a hole, seen as one
        self._kept_back.append(news)
        if self._timer is None:
            self._wake_when_due()

    async def reached(self, position: int, *, timeout_s: float) -> bool:
        """Wait until a position is applied; False when the time was up first."""
        if self.standing is not None and self.standing.position >= position:
            return True
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (position, next(self._order), future))
        try:
            return await _within(future, timeout_s)
        finally:
            if future.cancelled():  # the time was up, or whoever asked has gone
                self._clear_away_who_gave_up()

    async def moved(self, *, timeout_s: float) -> bool:
        """Wait until position or as_of moves; False when the time was up first."""
        if self._next_move is None:
            self._next_move = asyncio.get_running_loop().create_future()
        return await _within(asyncio.shield(self._next_move), timeout_s)

    def _clear_away_who_gave_up(self) -> None:
        """Count one more of them; only now and then look through the queue for all."""
        self._given_up += 1
        if self._given_up > GIVEN_UP_MAX:
            self._waiting = [entry for entry in self._waiting if not entry[2].done()]
            heapq.heapify(self._waiting)
            self._given_up = 0

    def _wake_when_due(self) -> None:
        wait_s = self.due.wait_s(self._kept_back[0].now.as_of)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(wait_s, self._take_what_is_due)

    def _take_what_is_due(self) -> None:
        self._timer = None
        while self._kept_back and not self.due.wait_s(self._kept_back[0].now.as_of):
            self._take(self._kept_back.popleft())
        if self._kept_back:
            self._wake_when_due()

    def _take(self, news: News) -> None:
        before = self.standing
        heard = self.replica.hear(news.now, news.changes, previous=news.previous, poll=news.poll)
        now = self.standing
        if heard == "dropped":
            self.holes += before is not None
            self.watchers.tell_missed(news.now.position)
        elif heard == "continues":
            self.watchers.tell(news.changes, news.now.position)
            if news.poll is not None:
                self.watchers.tell_missed(news.now.position, after=news.followed_before)
        if now is before or now is None:
            return
        while self._waiting and self._waiting[0][0] <= now.position:
            _, _, future = heapq.heappop(self._waiting)
            if not future.done():
                future.set_result(None)
        if self._next_move is not None and not self._next_move.done():
            self._next_move.set_result(None)
        self._next_move = None


async def _within(future: "asyncio.Future[None]", timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(max(0.0, timeout_s)):
            await future
    except TimeoutError:
        return False
    return True
