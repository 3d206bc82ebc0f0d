"""What was done and what was answered: one JSON line per operation, and beside it the event log, which is the truth.

An operation's moments are the generator's monotonic nanoseconds; times in answers (`as_of`, `recorded_at`) are the database's. The two clocks
are never compared with each other.
"""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

FILE = "history.jsonl"

Outcome = Literal["ok", "failed", "indeterminate"]


class Operation(Struct, frozen=True, kw_only=True):
    """One request of one person (`journey`); members that do not apply are null."""

    run: str
    arm: str
    journey: int
    op: Literal["look", "book"]
    slot_id: str
    units: int
    intended_ns: int
    invoke_ns: int
    return_ns: int
    outcome: Outcome
    status: int
    booking_id: str | None = None
    key: str | None = None
    version: int | None = None
    position: int | None = None
    remaining: int | None = None
    as_of: datetime | None = None
    token_in: str | None = None
    token_out: str | None = None
    based_on: str | None = None
    node: str | None = None
    wait_ms: float | None = None
    lag_ms: float | None = None


class LoggedSlot(Struct, frozen=True, kw_only=True):
    """A slot touched by a logged event: the change, and the state after it. Other members are ignored."""

    slot_id: str
    units: int
    version: int
    capacity: int
    overbooking_units: int
    held: int
    confirmed: int
    remaining: int


class LoggedEvent(Struct, frozen=True, kw_only=True):
    """What a checker needs of an event of the log. Other members are ignored."""

    position: int
    type: str
    recorded_at: datetime
    command_id: str
    booking_id: str | None
    slots: list[LoggedSlot]


class FinalSlot(Struct, frozen=True, kw_only=True):
    """A slot as the queries show it when everything has come to rest. Other members are ignored."""

    slot_id: str
    version: int
    capacity: int
    overbooking_units: int
    held: int
    confirmed: int
    remaining: int


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Operation).decode


def append(path: Path, operations: Iterable[Operation]) -> None:
    """Adds operations to a history on disk, one per line."""
    with path.open("ab") as file:
        file.write(b"".join(_encode(operation) + b"\n" for operation in operations))


def read(path: Path) -> list[Operation]:
    """The whole history, in the order written."""
    with path.open("rb") as file:
        return [_decode(line) for line in file]
