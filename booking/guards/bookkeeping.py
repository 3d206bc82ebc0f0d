"""The bookkeeping around a guard of the laboratory: all that an arm does besides its guard.

Keys, refusals that need no counting, bookings, events and positions, by the statements the product
uses too (`booking.recall`, `booking.record`), in a transaction that the client leads. The arm's `take`
opens it, because its isolation level, and how many it takes, are part of the idea. A guard hands in
one function, `grant`, which is asked slot by slot; so arms differ in the guard alone. A guard that
decides by something else than the slot's own row does not write it: its counters and its version are
written here, when every line is granted.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple
from uuid import UUID

import asyncpg
from msgspec import json

from booking.attempts import CALL_TIMEOUT_S
from booking.commands.command import Command, Decision
from booking.guards.eligibility import Refusal, refusal
from booking.guards.facts import EVENTS, Booking, Facts, look_up
from booking.model import TRANSITIONS

COUNT_UNITS = """
UPDATE booking.slot SET held = held + $2, confirmed = confirmed + $3, version = version + 1
WHERE slot_id = $1
RETURNING resource_id, version, state, capacity, overbooking_units, held, confirmed
"""
RECORD = """
SELECT ordinal, outcome, status, body, location, etag, epoch, "position", as_of
FROM booking.record($1::booking.decision[], $2::booking.slot_change[])
"""
HEAD = """
SELECT epoch, "position", greatest(recorded_at, transaction_timestamp()) FROM booking.log_head
"""

Isolation = Literal["read_committed", "repeatable_read", "serializable"]


class Move(NamedTuple):
    """What a command does to one slot: units more, or fewer, held and confirmed."""

    booking_id: UUID
    slot_id: UUID
    held: int
    confirmed: int

    @property
    def units(self) -> int:
        """Above zero: taken. Below: given back."""
        return self.held + self.confirmed


class Short(NamedTuple):
    """Too few units, as the guard saw it, at a version of the slot. Nothing was written."""

    remaining: int
    version: int


Grant = Callable[[asyncpg.Connection, Move], Awaitable[asyncpg.Record | Short | None]]
"""A guard's own part: says no, or grants the units. The row is the slot's as `count_units` returns it, where
granting them was writing it; None leaves that to the bookkeeping."""


class _Entry(NamedTuple):
    """An accepted command as it will be recorded; without an event when it was so already."""

    event_type: str | None
    customer_id: UUID | None
    customer_before: UUID | None
    state: str
    before: str | None
    version: int
    expires_at: datetime | None
    moves: Sequence[tuple[Move, asyncpg.Record]] = ()


class _LineIsShort(Exception):
    """Takes back what the other lines of the booking were granted: all or none."""


async def keep(
    connection: asyncpg.Connection,
    commands: Sequence[Command],
    grant: Grant,
    *,
    isolation: Isolation = "read_committed",
) -> list[Decision]:
    """Decide commands in one transaction, in their order.

    Raises:
        asyncpg.PostgresError, TransactionConflict: nothing has happened.
    """
    answers: list[Decision] = []
    refusals: list[tuple[int, Refusal]] = []
    entries: list[tuple[int, Command, _Entry]] = []
    async with asyncio.timeout(CALL_TIMEOUT_S), connection.transaction(isolation=isolation):
        facts = await look_up(connection, commands)
        for ordinal, (command, known) in enumerate(zip(commands, facts, strict=True)):
            decided = (
                await _decide(connection, command, known, grant)
                if known.earlier is None
                else _repeat(ordinal, command, known.earlier)
            )
            match decided:
                case Decision():
                    answers.append(decided)
                case Refusal():
                    refusals.append((ordinal, decided))
                case _Entry():
                    entries.append((ordinal, command, decided))
        if entries:
            answers += await _record(connection, entries)
        if refusals:
            answers += await refuse(connection, refusals)
    return answers


async def count_units(connection: asyncpg.Connection, move: Move) -> asyncpg.Record:
    """Write a move into the slot's own row, without any condition."""
    row = await connection.fetchrow(COUNT_UNITS, move.slot_id, move.held, move.confirmed)
    if row is None:
        raise AssertionError("A slot vanished inside a transaction.")
    return row


def _repeat(ordinal: int, command: Command, earlier: asyncpg.Record) -> Decision | Refusal:
    """The stored answer, or a refusal to answer another question under its key."""
    if earlier["fingerprint"] != command.call.fingerprint:
        return Refusal("idempotency-key-reused", 422)
    columns = ("status", "answer", "location", "etag", "epoch", "position", "recorded_at")
    return Decision(ordinal, "replayed", *(earlier[column] for column in columns))


async def _decide(
    connection: asyncpg.Connection, command: Command, facts: Facts, grant: Grant
) -> Refusal | _Entry:
    if no := refusal(command, facts):
        return no
    if facts.booking is None:
        entry, moves = _new(command, facts)
    else:
        entry, moves = _ended(command, facts.booking)
    granted = await _move(connection, moves, grant)
    return granted if isinstance(granted, Refusal) else entry._replace(moves=granted)


def new_moves(command: Command) -> list[Move]:
    """What a new booking takes of each slot, in slot id order."""
    return _moves(command, "held" if command.kind == "PlaceHold" else "confirmed", command.lines, 1)


def _new(command: Command, facts: Facts) -> tuple[_Entry, list[Move]]:
    seconds = command.hold_seconds or min(
        facts.slots[slot_id]["hold_seconds"] for slot_id, _ in command.lines
    )
    state, until = "confirmed", None
    if command.kind == "PlaceHold":
        state, until = "held", facts.moment + timedelta(seconds=seconds)
    entry = _Entry(EVENTS[command.kind], command.customer_id, None, state, None, 1, until)
    return entry, new_moves(command)


def _ended(command: Command, it: Booking) -> tuple[_Entry, list[Move]]:
    """What becomes of a booking that gives its units back, or has done so before."""
    who = (it.customer_id, it.customer_id)
    after = TRANSITIONS[command.kind].get(it.state)
    if after is None:
        return _Entry(None, *who, it.state, it.state, it.version, it.expires_at), []
    entry = _Entry(EVENTS[command.kind], *who, after, it.state, it.version + 1, None)
    return entry, _moves(command, it.state, it.lines, -1)


def _moves(
    command: Command, counted_as: str, lines: Sequence[tuple[UUID, int]], sign: int
) -> list[Move]:
    if command.booking_id is None:
        raise AssertionError("A command about a booking has its id.")
    held = sign if counted_as == "held" else 0
    return [
        Move(command.booking_id, slot_id, held * units, (sign - held) * units)
        for slot_id, units in lines
    ]


async def _move(
    connection: asyncpg.Connection, moves: Sequence[Move], grant: Grant
) -> list[tuple[Move, asyncpg.Record]] | Refusal:
    """Ask the guard for each line, in slot id order: all are granted, or none."""
    granted: list[tuple[Move, asyncpg.Record | None]] = []
    short: list[dict[str, object]] = []

    async def ask() -> None:
        for move in moves:
            answer = await grant(connection, move)
            if isinstance(answer, Short):
                line = {"slot_id": move.slot_id, "requested": move.units}
                short.append({**line, **answer._asdict()})
            else:
                granted.append((move, answer))
        if short and granted:
            raise _LineIsShort

    if len(moves) < 2:
        await ask()  # a guard that says no has written nothing, so there is nothing to undo
    else:
        try:
            async with connection.transaction():  # inside another: a savepoint
                await ask()
        except _LineIsShort:
            pass
    if short:
        return Refusal("capacity-exceeded", 409, json.encode({"lines": short}).decode())
    return [(move, row or await count_units(connection, move)) for move, row in granted]


async def _record(
    connection: asyncpg.Connection, entries: Sequence[tuple[int, Command, _Entry]]
) -> list[Decision]:
    """Keys, bookings, events and positions, by the same call as the product's."""
    decisions: list[tuple[object, ...]] = []
    changes: list[tuple[object, ...]] = []
    events = 0
    for ordinal, command, entry in entries:
        call = command.call
        events += entry.event_type is not None
        decisions.append(
            (
                ordinal,
                command.kind,
                call.caller,
                call.command_id,
                call.fingerprint,
                call.correlation_id,
                call.traceparent,
                events if entry.event_type else None,
                entry.event_type,
                command.booking_id,
                *entry[1:-1],  # customer_id to expires_at
            )
        )
        for move, slot in entry.moves:
            resource_id, *state_after = slot
            units = (max(0, -move.units), abs(move.units), move.units)
            changes.append((ordinal, move.slot_id, resource_id, *units, *state_after))
    return [Decision(*row) for row in await connection.fetch(RECORD, decisions, changes)]


async def refuse(
    connection: asyncpg.Connection, refusals: Sequence[tuple[int, Refusal]]
) -> list[Decision]:
    """The answers to commands that were refused: they say where the log stands."""
    head = await connection.fetchrow(HEAD)
    if head is None:
        raise AssertionError("The log has no head.")
    return [
        Decision(ordinal, no.outcome, no.status, no.members, None, no.etag, *head)
        for ordinal, no in refusals
    ]
