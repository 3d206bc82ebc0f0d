"""The projections' statements, told to the shadow instead of the read model.

A fold that begins with the first event meets each entity when it is made, and each version once. So
rows that a projection inserts with its guard (older and repeated events change nothing) need no guard
here, and Postgres inserts them at half the price. What adds to a row that may be there, as sums do, is
not of this kind. If a row is there after all, the database says so, and the guarded statement is run.
"""

import re
from functools import cache

SCHEMA = "read_model_shadow"

_GUARD = re.compile(
    r"\s*ON CONFLICT \([\w\s,]+\) DO (?:NOTHING|UPDATE\s.*?\.version < excluded\.version)",
    re.DOTALL,
)


def in_shadow(statement: str) -> str:
    """The statement as it is, with the shadow's tables."""
    return statement.replace("read_model.", f"{SCHEMA}.")


@cache
def in_empty_shadow(statement: str) -> str:
    """The same for rows that cannot be there yet."""
    return in_shadow(_GUARD.sub("", statement, count=1))
