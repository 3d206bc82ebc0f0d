"""What the last verification found, for whoever watches from afar."""

from datetime import datetime

import asyncpg
from msgspec import Struct

READ_LAST_WORD = """
SELECT drift - repaired AS drift, verified_at FROM read_model.verification
"""


class LastWord(Struct, frozen=True, kw_only=True):
    """How many rows were not what the log says, and are not mended since; and when that was seen."""

    drift: int
    verified_at: datetime


async def read_last_word(read_model: asyncpg.Pool) -> LastWord | None:
    """The last word; None when nobody has verified yet."""
    row = await read_model.fetchrow(READ_LAST_WORD)
    return None if row is None else LastWord(**row)
