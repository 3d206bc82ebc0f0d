"""A row is written by a newer version of its entity only.

Protects the view from events that come twice or late: the older state never replaces the newer.
It does so by a condition in the write itself, so no reading and comparing lies in between. It costs
one comparison per row; nothing is lost, because an event carries the whole state after the change.
"""


def newer_version_only(table: str, incoming: str) -> str:
    """The condition, to stand in the WHERE of an upsert or update of `table` from `incoming`."""
    return f"{table}.version < {incoming}.version"
