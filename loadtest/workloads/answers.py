"""What requests ask and answers tell, in the words of a history: conditions as headers, answers as members of an operation. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from loadtest.driver import Exchange
from loadtest.history import OperationLine
from loadtest.system.inventory import timing_ms

Headers = list[tuple[str, str]]


class _Line(Struct):
    slot_id: str | None = None
    units: int = 0
    requested: int = 0
    remaining: int | None = None
    version: int | None = None


class _Answer(Struct):
    """What answers to commands and queries have in common; each has some of it."""

    type: str | None = None
    slot_id: str | None = None
    booking_id: str | None = None
    state: str | None = None
    version: int | None = None
    position: int | None = None
    remaining: int | None = None
    capacity: int | None = None
    held: int | None = None
    confirmed: int | None = None
    as_of: datetime | None = None
    lines: list[_Line] = []


_decode = msgspec.json.Decoder(_Answer).decode


def conditions(
    *,
    token: str | None = None,
    max_age_s: int | None = None,
    strong: bool = False,
    wait_s: int | None = None,
) -> tuple[Headers, str | None]:
    """The headers of a conditional read, and the condition in a word for the history."""
    headers: Headers = []
    said: list[str] = []
    if token is not None:
        headers.append(("Consistency-Token", token))
        said.append("token")
    if max_age_s is not None:
        headers.append(("Cache-Control", f"max-age={max_age_s}"))
        said.append(f"max-age={max_age_s}")
    if strong:
        headers.append(("Cache-Control", "no-cache"))
        said.append("strong")
    if wait_s is not None:
        headers.append(("Prefer", f"wait={wait_s}"))
    return headers, " ".join(said) or None


def told_of(op: str, exchange: Exchange, *, asked: Sequence[OperationLine]) -> dict[str, Any]:
    """What an answer tells about an operation, by the names of its members; `asked` are its lines where there are several."""
    told = {name: value for name, value in answer_of(exchange).items() if value is not None}
    lines: list[_Line] = told.pop("lines", [])
    if op not in ("look", "resize") and "version" in told:
        # At the top of a booking's answer stands the booking's version; a slot's stands in its line.
        told["booking_version"] = told.pop("version")
    if asked:
        answered = {line.slot_id: line for line in lines}
        told["lines"] = [
            OperationLine(
                slot_id=line.slot_id,
                units=_short_of(line, answered.get(line.slot_id)),
                remaining=answered[line.slot_id].remaining if line.slot_id in answered else None,
                version=answered[line.slot_id].version if line.slot_id in answered else None,
            )
            for line in asked
        ]
    elif len(lines) == 1:
        for name in ("slot_id", "remaining", "version"):
            if (value := getattr(lines[0], name)) is not None:
                told[name] = value
        if lines[0].requested:
            told["units"] = lines[0].requested
    elif lines:
        told["lines"] = [
            OperationLine(
                slot_id=line.slot_id or "",
                units=line.units or line.requested,
                remaining=line.remaining,
                version=line.version,
            )
            for line in lines
        ]
    return told


def _short_of(asked: OperationLine, told: _Line | None) -> int:
    """The units that were missing: who moves a booking needs no more than the difference, and a refusal says how much that is."""
    return min(asked.units, told.requested or asked.units) if told is not None else asked.units


def answer_of(exchange: Exchange) -> dict[str, Any]:
    """What an answer tells, by the names of an operation's members; empty when there was none."""
    answer = exchange.answer
    if answer is None:
        return {}
    told: dict[str, Any] = {}
    for raw_name, value in answer.headers:
        name = raw_name.lower()
        if name == b"consistency-token":
            told["token_out"] = value.decode()
        elif name == b"server-timing":
            told["lag_ms"] = timing_ms(value, b"lag")
            told["wait_ms"] = timing_ms(value, b"wait")
        elif name == b"consistency-level":
            told["level"] = value.decode()
        elif name == b"idempotent-replayed":
            told["replayed"] = value == b"true"
    try:
        said = _decode(answer.body)
    except msgspec.DecodeError:
        return told  # no answer of ours, or one of another shape: only its status counts
    for member in _TOLD:
        told[member] = getattr(said, member)
    if said.type is not None:
        told["problem"] = said.type.rpartition("/")[2]
    return told


_TOLD = (
    "slot_id",
    "booking_id",
    "state",
    "version",
    "position",
    "remaining",
    "capacity",
    "held",
    "confirmed",
    "as_of",
    "lines",
)
