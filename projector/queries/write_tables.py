"""The laboratory's CRUD arm: the same questions asked of the write side's tables.

The statements are those of the product; only where they look is another schema, whose views have the
shape of the read model (`booking/schema/laboratory`). Nothing is shared, held in memory or waited for:
every answer is of the moment its statement began, and every reader pays for it.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any
from uuid import UUID

import asyncpg

from projector.queries.found import WIDTH, Found, fill, found
from projector.queries.get_slot import GET_SLOTS, SlotView

ONLY_IN_THE_READ_MODEL = (
    "read_model.activity",
    "read_model.booked",
    "read_model.slot_history",
    "read_model.booking_event",
)


class NotInTheWriteTables(Exception):
    """The write side does not keep what was asked for."""


@lru_cache(maxsize=64)
def of_the_write_tables(statement: str) -> str:
    """The statement as it is asked of the write tables.

    Raises:
        NotInTheWriteTables: it reads what only the read model keeps.
    """
    if any(table in statement for table in ONLY_IN_THE_READ_MODEL):
        raise NotInTheWriteTables
    return statement.replace("read_model.", "published.")


class WriteTables:
    """Asks the write side's database what would be asked of the read model's."""

    def __init__(self, log: asyncpg.Pool) -> None:
        self._log = log

    def get_idle_size(self) -> int:
        """Connections that are free."""
        return self._log.get_idle_size()

    async def fetch(self, statement: str, *parameters: Any) -> list[asyncpg.Record]:
        """The rows."""
        return await self._log.fetch(of_the_write_tables(statement), *parameters)

    async def fetchrow(self, statement: str, *parameters: Any) -> asyncpg.Record | None:
        """The first row."""
        return await self._log.fetchrow(of_the_write_tables(statement), *parameters)

    async def find_slot(self, slot_id: UUID) -> Found[SlotView | None]:
        """One slot, by a statement of its own."""
        rows: Sequence[asyncpg.Record] = await self.fetch(GET_SLOTS, [slot_id])
        [row] = rows
        slot = fill(SlotView, row[WIDTH:]) if row["slot_id"] is not None else None
        return found(row, slot)
