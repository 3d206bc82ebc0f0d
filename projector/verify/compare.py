"""One table against its shadow, a page of keys at a time.

What a table is made of stands in the catalogue, so a new read model is compared without a line here.
A page is judged, and where asked for mended, in the transaction that holds the checkpoint: rows and
shadow are then of one position, and nobody writes in between.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from projector.guards.checkpoint_compare_and_set import Connection
from projector.rebuild.statements import SCHEMA
from projector.verify.witness import Found, witness

PAGE = 4_000
"""Rows: some 20 ms, for which a live projector waits."""

NOT_FROM_THE_LOG = {"dead_letter": {"reason", "buried_at"}}
"""Columns that say when and by whom, which a second fold cannot know."""

READ_COLUMNS = """
SELECT attname AS name, attgenerated <> '' AS generated,
       coalesce(attnum = ANY (key.indkey::int2[]), false) AS is_key
FROM pg_attribute
LEFT JOIN pg_index AS key ON key.indrelid = attrelid AND key.indisprimary
WHERE attrelid = to_regclass('read_model.' || $1) AND attnum > 0 AND NOT attisdropped
ORDER BY array_position(key.indkey::int2[], attnum), attnum
"""


class Layout(Struct, frozen=True, kw_only=True):
    """A table's columns: its key, what follows from the log, and what a row is made of."""

    table: str
    key: Sequence[str]
    compared: Sequence[str]
    written: Sequence[str]


async def layout(connection: Connection, table: str) -> Layout:
    """What the catalogue says of a table."""
    columns = await connection.fetch(READ_COLUMNS, table)
    written = [row["name"] for row in columns if not row["generated"]]
    without = NOT_FROM_THE_LOG.get(table, set())
    return Layout(
        table=table,
        key=[row["name"] for row in columns if row["is_key"]],
        compared=[name for name in written if name not in without],
        written=written,
    )


class Statements:
    """The statements for one table; `{range}` is the page's keys: after the first, up to the last."""

    def __init__(self, of: Layout) -> None:
        key, compared, written = map(", ".join, (of.key, of.compared, of.written))
        width = len(of.key)
        after = ", ".join(f"${number}" for number in range(1, width + 1))
        up_to = ", ".join(f"${number}" for number in range(width + 1, 2 * width + 1))
        told, folded = f"read_model.{of.table}", f"{SCHEMA}.{of.table}"
        same_key = " AND ".join(f"told.{name} = folded.{name}" for name in of.key)
        same_row = (
            f"({', '.join(f'told.{name}' for name in of.compared)}) IS NOT DISTINCT FROM "
            f"({', '.join(f'folded.{name}' for name in of.compared)})"
        )
        ends = f"""
            SELECT {key} FROM (
                (SELECT {key} FROM {told} {{where}} ORDER BY {key} LIMIT {PAGE})
                UNION (SELECT {key} FROM {folded} {{where}} ORDER BY {key} LIMIT {PAGE})) AS keys
            ORDER BY {key} LIMIT {PAGE}
        """
        self.keys_from_the_first = f"SELECT {key} FROM ({ends.format(where='')}) AS page"
        self.keys_after = (
            f"SELECT {key} FROM ({ends.format(where=f'WHERE ({key}) > ({after})')}) AS p"
        )
        within = f"({key}) >= ({after}) AND ({key}) <= ({up_to})"
        self.differing = f"""
            SELECT to_jsonb(told) AS told, to_jsonb(folded) AS folded
            FROM (SELECT {compared} FROM {told} WHERE {within}) AS told
            FULL JOIN (SELECT {compared} FROM {folded} WHERE {within}) AS folded USING ({key})
            WHERE ({same_row}) IS NOT TRUE
        """
        self.remove = f"""
            DELETE FROM {told} AS told WHERE {within} AND NOT EXISTS (
                SELECT FROM {folded} AS folded WHERE {same_key} AND {same_row})
        """
        self.put = f"""
            INSERT INTO {told} ({written}) SELECT {written} FROM {folded} AS folded
            WHERE {within} AND NOT EXISTS (SELECT FROM {told} AS told WHERE {same_key})
        """


class Comparison:
    """Walks through one table; each `page` is one step, until it says that there are no more keys."""

    def __init__(self, connection: Connection, of: Layout, found: Found) -> None:
        self._connection = connection
        self._of = of
        self._found = found
        self._statements = Statements(of)
        self._after: tuple[Any, ...] | None = None

    async def page(self, *, repair: bool) -> tuple[int, bool]:
        """Judge the next page; answers how many rows were mended, and whether there may be more.

        Belongs into the transaction that holds the checkpoint.
        """
        if self._after is None:
            keys = await self._connection.fetch(self._statements.keys_from_the_first)
        else:
            keys = await self._connection.fetch(self._statements.keys_after, *self._after)
        if not keys:
            return 0, False
        page = (*keys[0], *keys[-1])
        drift = await self._connection.fetch(self._statements.differing, *page)
        for row in drift:
            told, folded = _decoded(row["told"]), _decoded(row["folded"])
            whole = told or folded or {}
            key = {name: whole[name] for name in self._of.key}
            self._found.add(witness(self._of.table, key, told, folded))
        if drift and repair:
            await self._connection.execute(self._statements.remove, *page)
            await self._connection.execute(self._statements.put, *page)
        self._found.rows += len(keys)
        self._after = tuple(keys[-1])
        return len(drift) if repair else 0, len(keys) == PAGE


def _decoded(row: str | None) -> dict[str, Any] | None:
    return None if row is None else msgspec.json.decode(row)
