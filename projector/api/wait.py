"""A read that keeps its conditions: wait, look, judge on what was seen, and never be silently stale.

The judgement is always made on the position and as_of that the statement itself returned, at one
moment after it. Waiting in between holds no database connection.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg
import msgspec

from booking.edge.database import DatabaseClock, NoDatabaseTime
from booking.edge.problems import Problem
from booking.events.tokens import Token
from projector.api.answers import Freshness, Tokens, headers
from projector.api.conditions import Conditions
from projector.api.log_heads import LogHeads
from projector.follower import Follower
from projector.queries.found import Found

T = TypeVar("T")
Query = Callable[[], Awaitable[Found[T]]]

READ_TIMEOUT_S = 3.0
"""For one statement with the wait for a connection; waiting for a position comes on top."""
UNREACHABLE = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


class Reader:
    """Runs queries under conditions."""

    def __init__(
        self,
        *,
        read_model: asyncpg.Pool,
        follower: Follower,
        heads: LogHeads,
        clock: DatabaseClock,
        tokens: Tokens,
    ) -> None:
        self.tokens = tokens
        self._read_model = read_model
        self._follower = follower
        self._heads = heads
        self._clock = clock

    async def read(self, asked: Conditions, query: Query[T]) -> tuple[T, Freshness]:
        """What the query found once the conditions were met, and how fresh that is.

        Raises:
            Problem: the conditions were not met in time, or cannot be judged.
        """
        started = time.monotonic()
        deadline = started + asked.wait_s
        required = await self._required(asked)
        while True:
            await self._wait_for(required, deadline)
            waited_ms = (time.monotonic() - started) * 1000
            found = await self._look(query)
            if found.rebuilding or found.epoch is None or found.as_of is None:
                raise Problem("rebuilding", "The read model has not caught up with the log yet.")
            freshness = self._freshness(asked, required, found, waited_ms)
            unmet = self._unmet(asked, required, freshness)
            if unmet is None:
                return found.value, freshness
            if asked.only_if_cached or time.monotonic() >= deadline:
                break
            await self._follower.moved(timeout_s=deadline - time.monotonic())
        return found.value, await self._settle(asked, freshness, unmet)

    async def _required(self, asked: Conditions) -> Token | None:
        """The position that must be applied: the token's, for a strong read the log's head."""
        if not asked.strong:
            return asked.token
        try:
            head = await self._heads.after_now()
        except UNREACHABLE as error:
            raise Problem(
                "log-unreachable", "The head of the log cannot be read from the primary."
            ) from error
        return max(Token(head.epoch, head.position), asked.token or Token(head.epoch, 0))

    async def _wait_for(self, required: Token | None, deadline: float) -> None:
        standing = self._follower.standing
        if required is None or standing is None or required.epoch < standing.epoch:
            return  # nothing to wait for, or nothing that waiting could bring
        await self._follower.reached(required.position, timeout_s=deadline - time.monotonic())

    async def _look(self, query: Query[T]) -> Found[T]:
        try:
            # A statement has its own deadline; only the wait for a free connection needs another.
            if self._read_model.get_idle_size() > 0:
                return await query()
            async with asyncio.timeout(READ_TIMEOUT_S):
                return await query()
        except UNREACHABLE as error:
            raise Problem(
                "database-unavailable",
                "The read model's database did not answer in time.",
                members={"outcome": "did-not-happen"},
            ) from error

    def _freshness(
        self, asked: Conditions, required: Token | None, found: Found[T], waited_ms: float
    ) -> Freshness:
        assert found.epoch is not None  # noqa: S101  # checked by the caller
        assert found.as_of is not None  # noqa: S101
        applied = Token(found.epoch, found.position)
        return Freshness(
            epoch=found.epoch,
            position=found.position,
            as_of=found.as_of,
            age_ms=self.age_ms(found),
            waited_ms=waited_ms,
            level=asked.level,
            token=applied if required is None else max(applied, required),
            applied=asked.applied,
        )

    def age_ms(self, found: Found[T]) -> float | None:
        """Upper bound of the database's time now, minus as_of; None while that time is not known."""
        if found.as_of is None:
            return None
        try:
            age = self._clock.now_at_most() - found.as_of
        except NoDatabaseTime:
            return None
        return max(0.0, age.total_seconds() * 1000)

    def _unmet(self, asked: Conditions, required: Token | None, seen: Freshness) -> Problem | None:
        """The condition that is not met, as the problem it would be."""
        if asked.level in ("bounded", "strong") and seen.age_ms is None:
            raise Problem(
                "log-unreachable", "The age of an answer cannot be told: no database time."
            )
        if asked.token is not None and asked.token.epoch < seen.epoch:
            changed = Problem(
                "token-epoch-changed", "The token is of an earlier history of the log."
            )
            raise refusal(changed, seen, self.tokens)
        if required is not None and required > (seen.epoch, seen.position):
            return Problem(
                "read-model-behind",
                f"Position {required.position} is required, {seen.position} is applied.",
                members={
                    "required": required.position,
                    "applied": seen.position,
                    "waited_ms": round(seen.waited_ms),
                },
            )
        if asked.max_age_ms is not None and (seen.age_ms or 0.0) > asked.max_age_ms:
            return Problem(
                "too-stale",
                f"The answer would be {seen.age_ms:.0f} ms old.",
                members={
                    "max_age_ms": asked.max_age_ms,
                    "age_ms": round(seen.age_ms or 0.0),
                    "waited_ms": round(seen.waited_ms),
                },
            )
        return None

    async def _settle(self, asked: Conditions, seen: Freshness, unmet: Problem) -> Freshness:
        """The time is up: a lenient caller gets what there is, all others the reason."""
        if asked.lenient:
            return msgspec.structs.replace(seen, level="eventual")
        if asked.only_if_cached:
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


def refusal(
    problem: Problem, seen: Freshness, tokens: Tokens, *, level: str = "eventual"
) -> Problem:
    """The problem with what every answer of a query says about freshness."""
    met = msgspec.structs.replace(seen, level=level)
    said = [header for header in headers(met, tokens) if header[0] != b"cache-control"]
    if problem.slug in ("read-model-behind", "too-stale"):
        said.append((b"retry-after", b"1"))
    members = {**problem.members, "position": seen.position, "as_of": seen.as_of}
    return Problem(problem.slug, problem.detail, members=members, headers=said)
