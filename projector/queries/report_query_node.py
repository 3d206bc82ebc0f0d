"""The row in which a query node says how far it has come; rows long silent are cleared away."""

import contextlib
from datetime import datetime

import asyncpg

from booking.edge.database import UNREACHABLE

REPORT_QUERY_NODE = """
WITH silent AS (
    DELETE FROM read_model.query_nodes WHERE seen_at < now() - interval '1 minute' AND node <> $1)
INSERT INTO read_model.query_nodes (node, applied, as_of) VALUES ($1, $2, $3)
ON CONFLICT (node) DO UPDATE
SET applied = excluded.applied, as_of = excluded.as_of, seen_at = now()
"""


async def report_query_node(
    read_model: asyncpg.Pool, *, node: str, applied: int, as_of: datetime | None
) -> None:
    """Write it."""
    await read_model.execute(REPORT_QUERY_NODE, node, applied, as_of)


LEAVE = """
DELETE FROM read_model.query_nodes WHERE node = $1
"""
LEAVE_TIMEOUT_S = 1.0


async def leave(read_model: asyncpg.Pool, *, node: str) -> None:
    """Take it back at the end; where that fails, it is cleared away with those long silent."""
    with contextlib.suppress(*UNREACHABLE):
        await read_model.execute(LEAVE, node, timeout=LEAVE_TIMEOUT_S)
