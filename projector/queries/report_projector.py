"""The row in which a projector says how it goes; rows of those long silent are cleared away."""

import asyncio
import contextlib
from datetime import datetime

import asyncpg

from booking.edge.database import UNREACHABLE

REPORT_PROJECTOR = """
WITH silent AS (
    DELETE FROM read_model.projectors WHERE seen_at < now() - interval '1 minute' AND name <> $1)
INSERT INTO read_model.projectors (name, state, reason, position, as_of, stream_last_seq)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (name) DO UPDATE
SET state = excluded.state, reason = excluded.reason, position = excluded.position,
    as_of = excluded.as_of, stream_last_seq = excluded.stream_last_seq, seen_at = now()
RETURNING (SELECT count(*) FROM read_model.dead_letter)
"""


async def report_projector(
    read_model: asyncpg.Pool,
    *,
    name: str,
    state: str,
    reason: str | None,
    position: int,
    as_of: datetime | None,
    stream_last_seq: int | None,
) -> int:
    """Write it; answers how many dead letters there are."""
    dead_letters: int = await read_model.fetchval(
        REPORT_PROJECTOR, name, state, reason, position, as_of, stream_last_seq
    )
    return dead_letters


LEAVE = """
DELETE FROM read_model.projectors WHERE name = $1
"""
LEAVE_TIMEOUT_S = 1.0


async def leave(read_model: asyncpg.Pool, *, name: str) -> None:
    """Take it back at the end; where that fails, it is cleared away with those long silent."""
    with contextlib.suppress(*UNREACHABLE):
        async with asyncio.timeout(LEAVE_TIMEOUT_S):
            await read_model.execute(LEAVE, name)
