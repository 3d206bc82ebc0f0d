"""Which statements of the projections only ever make rows, and can therefore be copied.

A fold that begins with the first event meets each entity when it is made, and each version once. So
the rows that a projection inserts with its guard (older and repeated events change nothing) need none
here, and COPY writes them at a third of the price. What adds to a row that may be there, as sums do,
is not of this kind. If a row is there after all, the database says so, and the guarded statement is
what is run.
"""

import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

from projector.projections import Write

_MAKES_ROWS = re.compile(
    r"\s*INSERT INTO read_model\.(?P<table>\w+)(?: AS \w+)? \((?P<columns>[\w\s,]+)\)\s+"
    r"SELECT \* FROM unnest\([^)]*\)\s+"
    r"ON CONFLICT \([\w\s,]+\) DO (?:NOTHING|UPDATE\s.*\.version < excluded\.version)",
    re.DOTALL,
)


class Made(NamedTuple):
    """Rows to be copied."""

    table: str
    columns: Sequence[str]
    rows: Iterable[tuple[Any, ...]]


@cache
def _target(sql: str) -> tuple[str, tuple[str, ...]] | None:
    found = _MAKES_ROWS.match(sql)
    if found is None:
        return None
    return found["table"], tuple(name.strip() for name in found["columns"].split(","))


def rows_made_once(write: Write) -> Made | None:
    """The rows that a statement makes, or None when it does anything else."""
    target = _target(write.sql)
    if target is None:
        return None
    columns: Any = write.parameters
    return Made(*target, zip(*columns, strict=True))
