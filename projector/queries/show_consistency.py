"""Who is at work on this read model, and how far each has come."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg
from msgspec import Struct

LISTED_S = 10.0
"""A row not renewed for this long belongs to a process that is gone."""
SILENT_S = 3.0
"""Every row is renewed once a second; one that was not for this long says nothing of now."""

SHOW_PROJECTORS = """
SELECT name, state, reason, position, as_of, stream_last_seq,
    (SELECT count(*) FROM read_model.dead_letter) AS dead_letters, seen_at,
    seen_at < now() - $2 * interval '1 second' AS silent
FROM read_model.projectors WHERE seen_at > now() - $1 * interval '1 second' ORDER BY name
"""

SHOW_NODES = """
SELECT node, applied, as_of, seen_at
FROM read_model.query_nodes WHERE seen_at > now() - $1 * interval '1 second' ORDER BY node
"""


class ProjectorRow(Struct, frozen=True, kw_only=True):
    """What a projector last said."""

    name: str
    state: str
    reason: str | None
    position: int
    as_of: datetime | None
    stream_last_seq: int | None
    dead_letters: int
    """Of the read model they share."""
    seen_at: datetime
    silent: bool
    """It has not said anything for `SILENT_S`: paused, cut off, or gone."""


class NodeRow(Struct, frozen=True, kw_only=True):
    """What a query node last said."""

    node: str
    applied: int
    as_of: datetime | None
    seen_at: datetime


async def show_consistency(
    read_model: asyncpg.Pool,
) -> tuple[Sequence[ProjectorRow], Sequence[NodeRow]]:
    """The projectors and query nodes heard of lately."""
    projectors = await read_model.fetch(SHOW_PROJECTORS, LISTED_S, SILENT_S)
    nodes = await read_model.fetch(SHOW_NODES, LISTED_S)
    return [ProjectorRow(**row) for row in projectors], [NodeRow(**row) for row in nodes]
