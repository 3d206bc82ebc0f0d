"""The window through which every read is shown: conditions in, one entity or one page out."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Protocol, TypeVar
from uuid import UUID

from msgspec import Meta

from booking.edge.answers import Answer
from booking.edge.database import DatabaseClock, NoDatabaseTime
from booking.edge.problems import Problem, answer_to
from booking.edge.requests import StrictRequest
from projector.api.answers import CACHE_CONTROL, Freshness, answer, not_modified
from projector.api.conditions import NOTHING_ASKED, read_conditions
from projector.api.judgement import refusal
from projector.api.wait import Query, Reader

Limit = Annotated[int, Meta(ge=1, le=1000)]


class Versioned(Protocol):
    """An entity with a version, which is its entity tag."""

    @property
    def version(self) -> int:
        """Counts the events that touched it."""


E = TypeVar("E", bound=Versioned)
T = TypeVar("T")


class Window:
    """Shows what queries find, with its age."""

    def __init__(self, reader: Reader, clock: DatabaseClock) -> None:
        self.reader = reader
        self._clock = clock

    def now(self) -> datetime:
        """The database's time.

        Raises:
            Problem: it is not known.
        """
        try:
            return self._clock.now_at_most()
        except NoDatabaseTime as error:
            raise Problem(
                "log-unreachable", "The database's time is not known; say `from` and `to`."
            ) from error

    async def show(
        self,
        request: StrictRequest,
        kind: str,
        entity_id: UUID,
        query: "Query[E | None]",
        *,
        visible: Callable[[E], bool] | None = None,
    ) -> Answer:
        """One entity, 304 when the caller has this version, 404 when there is none to be seen."""
        asked = read_conditions(request.scope, self.reader.tokens.codec)
        entity, freshness = await self.reader.read(asked, query)
        tokens = self.reader.tokens
        if entity is None or (visible is not None and not visible(entity)):
            return self.not_found(request, kind, entity_id, freshness)
        if asked is not NOTHING_ASKED and asked.none_match:
            etag = f'"{entity.version}"'
            if etag in asked.none_match or "*" in asked.none_match:
                return not_modified(freshness, tokens, entity.version)
        return answer(entity, freshness, tokens, entity.version)

    async def show_whole(
        self, request: StrictRequest, kind: str, entity_id: UUID, query: "Query[T | None]"
    ) -> Answer:
        """What is told of an entity without being in a version itself; 404 when there is none."""
        asked = read_conditions(request.scope, self.reader.tokens.codec)
        value, freshness = await self.reader.read(asked, query)
        if value is None:
            return self.not_found(request, kind, entity_id, freshness)
        return answer(value, freshness, self.reader.tokens)

    async def show_list(
        self,
        request: StrictRequest,
        plural: str,
        query: "Query[list[T]]",
        *,
        limit: int,
        cursor_after: Callable[[T], str],
        listed: Callable[[list[T]], Any] = lambda items: items,
    ) -> Answer:
        """One page; the query looks one further than the page to know whether there is a next."""
        asked = read_conditions(request.scope, self.reader.tokens.codec)
        items, freshness = await self.reader.read(asked, query)
        page = items[:limit]
        next_cursor = cursor_after(page[-1]) if len(items) > limit else None
        value = {plural: listed(page), "next_cursor": next_cursor}
        return answer(value, freshness, self.reader.tokens)

    def not_found(
        self, request: StrictRequest, kind: str, entity_id: UUID, freshness: Freshness
    ) -> Answer:
        """An answer like any other: as of a position, with its age."""
        problem = refusal(
            Problem(f"{kind}-not-found", f"There is no {kind} {entity_id}."),
            freshness,
            self.reader.tokens,
            level=freshness.level,
        )
        said = answer_to(problem, request.scope)
        said.headers = [h for h in said.headers if h[0] != b"cache-control"] + [CACHE_CONTROL]
        return said
