"""Drift as data: which row, what it says, and what the log says."""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

WITNESSES_MAX = 100
"""Kept for the report; all are counted."""

Kind = Literal["missing", "surplus", "different"]
Row = Mapping[str, Any]


class Witness(Struct, frozen=True, kw_only=True):
    """A row that is not what the log says."""

    table: str
    kind: Kind
    key: Row
    read_model: Row | None
    """What its columns say, only those that differ; None where there is no row."""
    log: Row | None

    @property
    def size(self) -> int:
        """How much there is to read: smaller ones are shown first."""
        return len(self.read_model or self.key) + len(self.log or self.key)


def witness(table: str, key: Row, told: Row | None, folded: Row | None) -> Witness:
    """What is wrong with one row."""
    if told is None:
        return Witness(table=table, kind="missing", key=key, read_model=None, log=folded)
    if folded is None:
        return Witness(table=table, kind="surplus", key=key, read_model=told, log=None)
    differ = [name for name in told if told[name] != folded.get(name)]
    return Witness(
        table=table,
        kind="different",
        key=key,
        read_model={name: told[name] for name in differ},
        log={name: folded[name] for name in differ},
    )


class Found:
    """What was found so far: all counted, and the smallest witnesses."""

    def __init__(self) -> None:
        self.rows = 0
        self.drift: dict[str, int] = {}
        self.witnesses: list[Witness] = []

    def add(self, found: Witness) -> None:
        """Count it, and keep it if it is among the smallest."""
        self.drift[found.table] = self.drift.get(found.table, 0) + 1
        self.witnesses.append(found)
        if len(self.witnesses) >= 2 * WITNESSES_MAX:
            self.witnesses = self.smallest()

    def smallest(self) -> list[Witness]:
        """The witnesses to show, smallest first."""
        return sorted(self.witnesses, key=lambda found: found.size)[:WITNESSES_MAX]
