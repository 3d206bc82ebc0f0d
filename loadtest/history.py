"""What was done and what was answered: one JSON line per operation, and beside it the event log, which is the truth.

An operation's moments are the generator's monotonic nanoseconds; times in answers (`as_of`, `recorded_at`) are the database's. The two clocks
are never compared with each other. These structs hold no cycles, so the collector is spared them (`gc=False`): there are hundreds of thousands.
"""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

FILE = "history.jsonl"

Outcome = Literal["ok", "failed", "indeterminate"]
UNDECIDED = (0, 503)
"""Statuses that decide nothing: no answer at all, and one that asks to try again."""


class OperationLine(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One slot of an operation that touches several: asked for, and what the answer said about it."""

    slot_id: str
    units: int = 0
    remaining: int | None = None
    version: int | None = None


class Operation(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One request of one person (`journey`); members that do not apply are null, or left out on disk.

    `run` names the trial. `version` and `remaining` are the slot's, as the answer told them; `booking_version` is the booking's. `intent` is
    what the person wanted once, however often it was tried; `digest` stands for the answer's body, byte for byte.
    """

    run: str
    arm: str
    journey: int
    op: str
    slot_id: str | None = None
    units: int = 0
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
    booking_version: int | None = None
    state: str | None = None
    capacity: int | None = None
    held: int | None = None
    confirmed: int | None = None
    lines: list[OperationLine] = []
    customer_id: str | None = None
    intent: str | None = None
    if_match: int | None = None
    condition: str | None = None
    level: str | None = None
    problem: str | None = None
    replayed: bool = False
    digest: str | None = None

    @property
    def decided(self) -> bool:
        """Whether the answer decides anything: none at all, or a 503, leaves that to the next try."""
        return self.status not in UNDECIDED


class LoggedSlot(Struct, frozen=True, kw_only=True, gc=False):
    """A slot touched by a logged event: the change, and the state after it. Other members are ignored."""

    slot_id: str
    units: int
    version: int
    capacity: int
    overbooking_units: int
    held: int
    confirmed: int
    remaining: int


class LoggedLine(Struct, frozen=True, kw_only=True, gc=False):
    """A line of a booking as the log tells it."""

    slot_id: str
    units: int


class LoggedBooking(Struct, frozen=True, kw_only=True, gc=False):
    """What an event says about its booking (`data`); members that do not apply are null. Other members are ignored."""

    state: str | None = None
    before: str | None = None
    version: int | None = None
    customer_id: str | None = None
    expires_at: datetime | None = None
    lines: list[LoggedLine] | None = None


class LoggedEvent(Struct, frozen=True, kw_only=True, gc=False):
    """What a checker needs of an event of the log. Other members are ignored."""

    position: int
    type: str
    recorded_at: datetime
    command_id: str
    booking_id: str | None
    slots: list[LoggedSlot]
    data: LoggedBooking = LoggedBooking()


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
_decode_event = msgspec.json.Decoder(LoggedEvent).decode


def append(path: Path, operations: Iterable[Operation]) -> None:
    """Adds operations to a history on disk, one per line."""
    with path.open("ab") as file:
        file.write(b"".join(_encode(operation) + b"\n" for operation in operations))


def size_of(path: Path) -> int:
    """Where what is added next will begin, in bytes."""
    return path.stat().st_size if path.exists() else 0


def read(path: Path, *, since: int = 0, until: int | None = None) -> list[Operation]:
    """The history from one byte to another (where lines begin), in the order written."""
    return [_decode(line) for line in _lines(path, since, until)]


def read_events(path: Path, *, since: int = 0, until: int | None = None) -> list[LoggedEvent]:
    """The dumped log from one byte to another (where lines begin), in the order of positions; empty when nothing was dumped."""
    return [_decode_event(line) for line in _lines(path, since, until)] if path.exists() else []


def _lines(path: Path, since: int, until: int | None) -> list[bytes]:
    with path.open("rb") as file:
        file.seek(since)
        return file.read(-1 if until is None else until - since).splitlines()
