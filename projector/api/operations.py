"""The routes for operators and the laboratory: the log itself, and who is how far behind it."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import asyncpg
import msgspec
from litestar import get
from litestar.handlers import HTTPRouteHandler
from msgspec import Meta, Struct

from booking.edge.answers import Answer
from booking.edge.database import UNREACHABLE, DatabaseClock, NoDatabaseTime
from booking.edge.problems import Problem
from booking.edge.requests import StrictRequest
from projector.api.answers import CACHE_CONTROL, VARY
from projector.api.documents import EventsPage
from projector.api.log_heads import LogHeads
from projector.api.window import Limit
from projector.log_reader import LogHead, read_payloads
from projector.queries.show_consistency import show_consistency


class EventsAsked(Struct, frozen=True, kw_only=True):
    """The parameters of `/v1/events`."""

    after: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    limit: Limit = 100


class LogView(Struct, frozen=True, kw_only=True):
    """Where the log ends, by the database's clock."""

    position: int
    at: datetime


class StreamView(Struct, frozen=True, kw_only=True):
    """Where the stream ends, as the projectors see it; null while none can."""

    last_seq: int | None


class ProjectorView(Struct, frozen=True, kw_only=True):
    """One projector; `reason` says why it has stopped."""

    name: str
    state: str
    reason: str | None
    position: int
    as_of: datetime | None
    age_ms: int | None
    dead_letters: int


class NodeView(Struct, frozen=True, kw_only=True):
    """One query node."""

    node: str
    applied: int
    as_of: datetime | None
    age_ms: int | None


class ConsistencyView(Struct, frozen=True, kw_only=True):
    """Who is how far; `epoch` and `log` are null while the log cannot be asked."""

    epoch: UUID | None
    log: LogView | None
    stream: StreamView
    projectors: list[ProjectorView]
    nodes: list[NodeView]


def routes(
    *, log: asyncpg.Pool, read_model: asyncpg.Pool, heads: LogHeads, clock: DatabaseClock
) -> list[HTTPRouteHandler]:
    """The handlers."""

    @get(
        "/v1/events",
        opt={
            "scopes": ("operate",),
            "query": EventsAsked,
            "answers": {200: EventsPage},
            "problems": ("log-unreachable",),
        },
    )
    async def events(request: StrictRequest) -> Answer:
        """The log itself, oldest first."""
        asked = request.query_as(EventsAsked)
        try:
            head = await heads.after_now()
            page = await read_payloads(log, epoch=head.epoch, after=asked.after, limit=asked.limit)
        except UNREACHABLE as error:
            raise Problem("log-unreachable", "The log cannot be read.") from error
        last = page[-1][0] if page else 0
        content = b'{"events":[%b],"head":%d,"epoch":"%b"}' % (
            b",".join(payload for _, payload in page),
            max(head.position, last),
            str(head.epoch).encode(),
        )
        return Answer(200, content, [CACHE_CONTROL, VARY])

    @get(
        "/v1/consistency",
        opt={
            "scopes": ("read", "operate"),
            "answers": {200: ConsistencyView},
            "problems": ("database-unavailable",),
        },
    )
    async def consistency(request: StrictRequest) -> Answer:  # noqa: ARG001  spares the framework's longer way
        """How far log, stream, projectors and query nodes are."""
        try:
            projectors, nodes = await show_consistency(read_model)
        except UNREACHABLE as error:
            raise Problem(
                "database-unavailable",
                "The read model's database did not answer.",
                members={"outcome": "did-not-happen"},
            ) from error
        head = await _head(heads)
        sequences = [p.stream_last_seq for p in projectors if p.stream_last_seq is not None]
        view = ConsistencyView(
            epoch=head.epoch if head else None,
            log=LogView(position=head.position, at=head.at) if head else None,
            stream=StreamView(last_seq=max(sequences, default=None)),
            projectors=[
                ProjectorView(
                    name=p.name,
                    state="stopped" if p.silent else p.state,
                    reason=f"not heard of since {p.seen_at:%H:%M:%S}Z" if p.silent else p.reason,
                    position=p.position,
                    as_of=p.as_of,
                    age_ms=_age_ms(clock, p.as_of),
                    dead_letters=p.dead_letters,
                )
                for p in projectors
            ],
            nodes=[
                NodeView(
                    node=n.node,
                    applied=n.applied,
                    as_of=n.as_of,
                    age_ms=_age_ms(clock, n.as_of),
                )
                for n in nodes
            ],
        )
        return Answer(200, msgspec.json.encode(view), [CACHE_CONTROL, VARY])

    return [events, consistency]


async def _head(heads: LogHeads) -> LogHead | None:
    try:
        return await heads.after_now()
    except UNREACHABLE:
        return None


def _age_ms(clock: DatabaseClock, as_of: datetime | None) -> int | None:
    if as_of is None:
        return None
    try:
        return max(0, round((clock.now_at_most() - as_of).total_seconds() * 1000))
    except NoDatabaseTime:
        return None
