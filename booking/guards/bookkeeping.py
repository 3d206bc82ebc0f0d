"""The bookkeeping around a guard of the laboratory: all that an arm does besides its guard.

Keys, refusals that need no counting, bookings, events and positions, by the statements the product
uses too (`booking.recall`, `booking.record`), in a transaction that the client leads. A guard hands
in one function, `grant`, which is asked slot by slot; so arms differ in the guard alone.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple
from uuid import UUID

import asyncpg
from msgspec import json

from booking.attempts import CALL_TIMEOUT_S
from booking.commands.command import Command, Decision
from booking.guards.eligibility import EVENTS, TAKING, Booking, Facts, Refusal, refusal
from booking.model import TRANSITIONS

LOOK = """
SELECT clock_timestamp() AS moment, b.version AS version_of_its_id, earlier.fingerprint,
       earlier.status, earlier.answer, earlier.location, earlier.etag, earlier.epoch,
       earlier."position", earlier.recorded_at
FROM unnest($1::text[], $2::text[], $3::uuid[]) WITH ORDINALITY
    AS asked(caller, command_id, booking_id, ordinal)
LEFT JOIN LATERAL booking.recall(asked.caller, asked.command_id) AS earlier ON true
LEFT JOIN booking.booking AS b ON b.booking_id = asked.booking_id
ORDER BY asked.ordinal
"""
# Locked, so that a booking leaves its state once.
BOOKINGS = """
SELECT booking_id, customer_id, state, version, expires_at
FROM booking.booking WHERE booking_id = ANY ($1) ORDER BY booking_id FOR NO KEY UPDATE
"""
LINES = """
SELECT booking_id, slot_id, units
FROM booking.booking_line WHERE booking_id = ANY ($1) ORDER BY slot_id
"""
SLOTS = """
SELECT s.slot_id, s.version, s.state = 'open' AND s.ends_at > clock_timestamp() AS on_sale,
       r.hold_seconds, r.units_per_booking_max, r.units_per_customer_max
FROM booking.slot AS s JOIN booking.resource AS r USING (resource_id)
WHERE s.slot_id = ANY ($1)
"""
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


Grant = Callable[[asyncpg.Connection, Move], Awaitable[asyncpg.Record | Short]]
"""A guard's own part: moves the units and returns the slot as `count_units` does, or says no."""


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
        records = await _recall(connection, commands)
        facts = await _look_up(connection, commands, records)
        for ordinal, command in enumerate(commands):
            decided = _known(ordinal, command, records[ordinal]) or await _decide(
                connection, command, facts[ordinal], grant
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
            answers += await _refuse(connection, refusals)
    return answers


async def count_units(connection: asyncpg.Connection, move: Move) -> asyncpg.Record:
    """Write a move into the slot's own row, without any condition."""
    row = await connection.fetchrow(COUNT_UNITS, move.slot_id, move.held, move.confirmed)
    if row is None:
        raise AssertionError("A slot vanished inside a transaction.")
    return row


async def _recall(
    connection: asyncpg.Connection, commands: Sequence[Command]
) -> list[asyncpg.Record]:
    return await connection.fetch(
        LOOK,
        [command.call.caller for command in commands],
        [command.call.command_id for command in commands],
        [command.booking_id for command in commands],
    )


def _known(ordinal: int, command: Command, record: asyncpg.Record) -> Decision | Refusal | None:
    """The stored answer, or a refusal to answer another question under its key."""
    if record["fingerprint"] is None:
        return None
    if record["fingerprint"] != command.call.fingerprint:
        return Refusal("idempotency-key-reused", 422)
    columns = ("status", "answer", "location", "etag", "epoch", "position", "recorded_at")
    return Decision(ordinal, "replayed", *(record[column] for column in columns))


async def _look_up(
    connection: asyncpg.Connection,
    commands: Sequence[Command],
    records: Sequence[asyncpg.Record],
) -> list[Facts]:
    """Everything else that is judged, in as few statements as the commands need."""
    bookings: dict[UUID | None, Booking] = {}
    existing = [c.booking_id for c in commands if c.kind in EVENTS and c.kind not in TAKING]
    if existing:
        lines: dict[UUID, list[tuple[UUID, int]]] = defaultdict(list)
        locked = await connection.fetch(BOOKINGS, existing)
        for line in await connection.fetch(LINES, existing):
            lines[line["booking_id"]].append((line["slot_id"], line["units"]))
        for row in locked:
            bookings[row["booking_id"]] = Booking(
                row["customer_id"],
                row["state"],
                row["version"],
                row["expires_at"],
                lines[row["booking_id"]],
            )
    wanted = {slot_id for command in commands for slot_id, _ in command.lines}
    wanted |= {slot_id for booking in bookings.values() for slot_id, _ in booking.lines}
    slots = {slot["slot_id"]: slot for slot in await connection.fetch(SLOTS, wanted)}
    return [
        Facts(record["moment"], record["version_of_its_id"], bookings.get(c.booking_id), slots)
        for c, record in zip(commands, records, strict=True)
    ]


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
    granted: list[tuple[Move, asyncpg.Record]] = []
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
    return granted


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


async def _refuse(
    connection: asyncpg.Connection, refusals: Sequence[tuple[int, Refusal]]
) -> list[Decision]:
    """Refusals say where the log stands."""
    head = await connection.fetchrow(HEAD)
    if head is None:
        raise AssertionError("The log has no head.")
    return [
        Decision(ordinal, no.outcome, no.status, no.members, None, no.etag, *head)
        for ordinal, no in refusals
    ]
