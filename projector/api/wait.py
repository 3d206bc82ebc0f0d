"""A read that keeps its conditions: wait, look, judge on what was seen, and never be silently stale.

The judgement is always made on the position and as_of that the statement itself returned, at one
moment after it. Waiting goes by what the node hears of the read model and holds no database
connection; how many may wait at a time is bounded.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from typing import TypeVar

import asyncpg
import msgspec

from booking.edge.database import UNREACHABLE, DatabaseClock, NoDatabaseTime
from booking.edge.problems import Problem
from booking.events.tokens import Token
from projector.api.answers import Freshness, Tokens
from projector.api.conditions import Conditions
from projector.api.judgement import MAY_BE_MET_LATER, refusal, why_unmet
from projector.api.log_heads import LogHeads
from projector.api.metrics import ReadMetrics
from projector.guards.unguarded import claimed_now
from projector.queries.found import Found
from projector.queries.standing import Standing
from projector.queries.write_tables import NotInTheWriteTables
from projector.replica.follower import Follower

T = TypeVar("T")
Query = Callable[[], Awaitable[Found[T]]]

READ_TIMEOUT_S = 3.0
"""For one statement with the wait for a connection; waiting for a position comes on top."""
WAITING_MAX = 5_000
"""Reads that wait at a time; each costs a few kilobytes, and far more than this is a herd."""


class Reader:
    """Runs queries under conditions."""

    def __init__(
        self,
        *,
        read_model: asyncpg.Pool,
        follower: Follower | None,
        heads: LogHeads,
        clock: DatabaseClock,
        tokens: Tokens,
        metrics: ReadMetrics | None = None,
        waiting_max: int = WAITING_MAX,
        watermark: bool = True,
    ) -> None:
        """Without a follower nothing is waited for: what is read is never behind.

        Without `watermark`, in the laboratory, it claims that everything was heard up to now.
        """
        self.tokens = tokens
        self.metrics = metrics or ReadMetrics()
        self._read_model = read_model
        self._follower = follower
        self._heads = heads
        self._clock = clock
        self._waiting = 0
        self._waiting_max = waiting_max
        self._watermark = watermark

    async def read(self, asked: Conditions, query: Query[T]) -> tuple[T, Freshness]:
        """What the query found once the conditions were met, and how fresh that is.

        Raises:
            Problem: the conditions were not met in time, or cannot be judged.
        """
        if asked.level == "eventual":
            found = await self._look(query)
            freshness = self._freshness(asked, found, waited_ms=0.0)
            if freshness.age_ms is not None:
                self.metrics.age["eventual"].observe(freshness.age_ms / 1000)
            return found.value, freshness
        started = time.monotonic()
        try:
            value, freshness = await self._read_under(asked, query, started)
        except Problem as problem:
            self.metrics.outcomes.labels(problem.slug).inc()
            self.metrics.waited.observe(time.monotonic() - started)
            raise
        self.metrics.waited.observe(freshness.waited_ms / 1000)
        if freshness.age_ms is not None:
            self.metrics.age[freshness.level].observe(freshness.age_ms / 1000)
        return value, freshness

    async def _read_under(
        self, asked: Conditions, query: Query[T], started: float
    ) -> tuple[T, Freshness]:
        deadline, follower = started + asked.wait_s, self._follower
        required, unreachable = await self._required(asked)
        waited = await self._wait_for(asked, required, deadline)
        while True:
            waited_ms = (time.monotonic() - started) * 1000
            found = await self._look(query)
            freshness = self._freshness(asked, found, waited_ms=waited_ms)
            unmet = why_unmet(asked, required, found, freshness) or unreachable
            if unmet is None:
                met = self.metrics.met_after_waiting if waited else self.metrics.met_at_once
                met.inc()
                return found.value, freshness
            if follower is None or unmet.slug not in MAY_BE_MET_LATER:
                break
            if time.monotonic() >= deadline:
                break
            waited = True
            # What was heard promised more than was found: what is found next is judged anew.
            with self._among_the_waiting():
                await follower.moved(timeout_s=deadline - time.monotonic())
            await self._wait_for(asked, required, deadline)
        return found.value, await self._settle(asked, freshness, unmet)

    async def _required(self, asked: Conditions) -> tuple[Token | None, Problem | None]:
        """The position that must be applied: the token's, for a strong read the log's head.

        With it, for a lenient caller only, the problem that the head cannot be told.
        """
        if not asked.strong:
            return asked.token, None
        try:
            with self._among_the_waiting():
                head = await self._heads.after_now()
        except UNREACHABLE as error:
            unreachable = Problem(
                "log-unreachable", "The head of the log cannot be read from the primary."
            )
            if asked.lenient:
                return asked.token, unreachable
            raise unreachable from error
        return max(Token(head.epoch, head.position), asked.token or Token(head.epoch, 0)), None

    async def _wait_for(self, asked: Conditions, required: Token | None, deadline: float) -> bool:
        """Wait until what is heard promises that the conditions are met; whether it was needed."""
        follower = self._follower
        if follower is None or self._promises(asked, required, follower.standing):
            return False
        with self._among_the_waiting():
            while (left_s := deadline - time.monotonic()) > 0:
                standing = follower.standing
                if standing is None or required is None or required.epoch != standing.epoch:
                    await follower.moved(timeout_s=left_s)
                elif standing.position < required.position:
                    await follower.reached(required.position, timeout_s=left_s)
                else:  # far enough, but not fresh enough
                    await follower.moved(timeout_s=left_s)
                if self._promises(asked, required, follower.standing):
                    break
        return True

    def _promises(
        self, asked: Conditions, required: Token | None, standing: Standing | None
    ) -> bool:
        """Whether looking is worth it: the conditions seem met, or waiting can no longer help."""
        if standing is None:
            return False
        if required is not None:
            if required.epoch < standing.epoch:
                return True  # of an earlier history
            if required > (standing.epoch, standing.position):
                return False
        if asked.max_age_ms is None:
            return True
        try:
            as_of = standing.as_of if self._watermark else claimed_now(self._clock, standing.as_of)
            age = self._clock.now_at_most() - as_of
        except NoDatabaseTime:
            return True
        return age.total_seconds() * 1000 <= asked.max_age_ms

    @contextlib.contextmanager
    def _among_the_waiting(self) -> Iterator[None]:
        """Count the caller among those who wait.

        Raises:
            Problem: queue-full.
        """
        if self._waiting >= self._waiting_max:
            raise Problem("queue-full", f"{self._waiting} reads are waiting already.")
        self._waiting += 1
        self.metrics.waiting.set(self._waiting)
        try:
            yield
        finally:
            self._waiting -= 1
            self.metrics.waiting.set(self._waiting)

    async def _look(self, query: Query[T]) -> Found[T]:
        """One look; what is being rebuilt is not shown.

        Raises:
            Problem: rebuilding or database-unavailable.
        """
        try:
            # A statement has its own deadline; only the wait for a free connection needs another.
            if self._read_model.get_idle_size() > 0:
                found = await query()
            else:
                async with asyncio.timeout(READ_TIMEOUT_S):
                    found = await query()
        except NotInTheWriteTables as error:
            raise Problem(
                "not-in-this-arm", "The write side's tables do not hold what was asked for."
            ) from error
        except UNREACHABLE as error:
            raise Problem(
                "database-unavailable",
                "The read model's database did not answer in time.",
                members={"outcome": "did-not-happen"},
            ) from error
        if found.rebuilding or found.epoch is None or found.as_of is None:
            raise Problem("rebuilding", "The read model has not caught up with the log yet.")
        if self._follower is not None:  # with an injected lag the tables know too much
            await self._follower.due.keep_back(found.as_of)
        return found

    def _freshness(self, asked: Conditions, found: Found[T], *, waited_ms: float) -> Freshness:
        """How fresh that is, judged now and never again."""
        assert found.epoch is not None  # noqa: S101  # looked at before
        assert found.as_of is not None  # noqa: S101  # looked at before
        applied = Token(found.epoch, found.position)
        as_of = found.as_of if self._watermark else claimed_now(self._clock, found.as_of)
        return Freshness(
            epoch=found.epoch,
            position=found.position,
            as_of=as_of,
            age_ms=self.age_ms(as_of),
            waited_ms=waited_ms,
            level=asked.level,
            token=applied if asked.token is None else max(applied, asked.token),
            applied=asked.applied,
        )

    def age_ms(self, as_of: datetime) -> float | None:
        """Upper bound of the database's time now, minus as_of; None while that time is not known."""
        try:
            age = self._clock.now_at_most() - as_of
        except NoDatabaseTime:
            return None
        return max(0.0, age.total_seconds() * 1000)

    async def _settle(self, asked: Conditions, seen: Freshness, unmet: Problem) -> Freshness:
        """The time is up: a lenient caller gets what there is, all others the reason."""
        if asked.lenient and unmet.slug != "token-epoch-changed":
            self.metrics.outcomes.labels("lenient").inc()
            return msgspec.structs.replace(seen, level="eventual")
        if asked.only_if_cached and unmet.slug in MAY_BE_MET_LATER:
            unmet = Problem("not-satisfied-here", unmet.detail, members=unmet.members)
        elif asked.token is not None and await self._is_beyond_the_log(asked.token, seen):
            unmet = Problem(
                "token-from-the-future",
                f"The token names position {asked.token.position}, which the log does not have.",
            )
        raise refusal(unmet, seen, self.tokens)

    async def _is_beyond_the_log(self, token: Token, seen: Freshness) -> bool:
        """Whether the log has no such position; an unreachable log leaves that open."""
        if token <= (seen.epoch, seen.position):
            return False
        try:
            head = await self._heads.after_now()
        except UNREACHABLE:
            return False
        return token > (head.epoch, head.position)
