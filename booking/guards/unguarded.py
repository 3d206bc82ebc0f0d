"""NOT A GUARD. What happens when a booking is written because a view said there were units left.

What it protects: nothing. Units are added without any condition, as a service does that has checked
availability before, in a view, in a cache, in an earlier statement. It exists so that the
laboratory can show the oversell that the product's guard prevents, on the same requests.

How it stays comparable: keys, bookings, events and positions are written by the same
`booking.record` as the product's, in one transaction per batch, so the arms differ in the condition
alone. The constraint `slot_never_oversold` would still stop it; `remove_the_last_line` takes that
away, in the laboratory's throw-away database only, which every process then refuses elsewhere.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
from msgspec import json

from booking.attempts import CALL_TIMEOUT_S
from booking.commands.command import Command, Decision

LAST_LINE_REMOVED = Path(__file__).parent.parent / "schema/laboratory/0001_remove_the_last_line.sql"

SLOTS = """
SELECT s.slot_id, r.hold_seconds
FROM booking.slot AS s JOIN booking.resource AS r USING (resource_id)
WHERE s.slot_id = ANY ($1)
"""
RECALL = """
SELECT fingerprint, status, answer, location, etag, epoch, "position", recorded_at
FROM booking.recall($1, $2)
"""
# The mistake: no `AND held + confirmed + … <= capacity + overbooking_units`.
INCREMENT = """
UPDATE booking.slot SET held = held + $2, confirmed = confirmed + $3, version = version + 1
WHERE slot_id = $1
RETURNING resource_id, version, state, capacity, overbooking_units, held, confirmed
"""
RECORD = """
SELECT ordinal, outcome, status, body, location, etag, epoch, "position", as_of
FROM booking.record($1::booking.decision[], $2::booking.slot_change[])
"""
HEAD = 'SELECT epoch, "position", clock_timestamp() AS as_of FROM booking.log_head'


async def take(connection: asyncpg.Connection, commands: Sequence[Command]) -> list[Decision]:
    """Accept every new booking whose slots exist, however full they are.

    Raises:
        asyncpg.CheckViolationError: the last line of defence still stands.
    """
    async with connection.transaction():
        head = await connection.fetchrow(HEAD, timeout=CALL_TIMEOUT_S)
        if head is None:
            raise AssertionError("The log has no head.")
        wanted = sorted({slot_id for command in commands for slot_id, _ in command.lines})
        hold_seconds: dict[UUID, int] = {
            row["slot_id"]: row["hold_seconds"] for row in await connection.fetch(SLOTS, wanted)
        }
        answers: list[Decision] = []
        decisions: list[tuple[object, ...]] = []
        changes: list[tuple[object, ...]] = []
        for ordinal, command in enumerate(commands):
            known = await connection.fetchrow(RECALL, command.call.caller, command.call.command_id)
            if known is not None:
                answers.append(_repeat(ordinal, command, known, head))
            elif refusal := _refusal(command, hold_seconds):
                answers.append(Decision(ordinal, *refusal, None, None, *head))
            else:
                changes += await _increment(connection, ordinal, command)
                longest = min(hold_seconds[slot_id] for slot_id, _ in command.lines)
                expires_at = head["as_of"] + timedelta(seconds=command.hold_seconds or longest)
                decisions.append(_accepted(ordinal, command, len(decisions) + 1, expires_at))
        recorded = await connection.fetch(RECORD, decisions, changes)
        return answers + [Decision(*row) for row in recorded]


async def remove_the_last_line(connection: asyncpg.Connection) -> None:
    """Drop the constraint `slot_never_oversold` and mark the database; needs the owner's rights.

    For the laboratory's throw-away databases only. May be applied twice.
    """
    async with connection.transaction():
        await connection.execute(LAST_LINE_REMOVED.read_text(encoding="utf-8"))
        await connection.execute("RESET ROLE")


async def _increment(
    connection: asyncpg.Connection, ordinal: int, command: Command
) -> list[tuple[object, ...]]:
    """Write the units, and tell each change as `booking.slot_change`."""
    changes: list[tuple[object, ...]] = []
    for slot_id, units in command.lines:
        held = units if command.kind == "PlaceHold" else 0
        row = await connection.fetchrow(INCREMENT, slot_id, held, units - held)
        if row is None:
            raise AssertionError("A slot vanished inside a transaction.")
        resource_id, *state_after = row
        changes.append((ordinal, slot_id, resource_id, 0, units, units, *state_after))
    return changes


def _accepted(
    ordinal: int, command: Command, event_number: int, expires_at: datetime
) -> tuple[object, ...]:
    """The value of `booking.decision` for a new booking."""
    call = command.call
    is_hold = command.kind == "PlaceHold"
    return (
        ordinal,
        command.kind,
        call.caller,
        call.command_id,
        call.fingerprint,
        call.correlation_id,
        call.traceparent,
        event_number,
        "HoldPlaced" if is_hold else "BookingConfirmed",
        command.booking_id,
        command.customer_id,
        None,
        "held" if is_hold else "confirmed",
        None,
        1,
        expires_at if is_hold else None,
    )


def _refusal(command: Command, hold_seconds: Mapping[UUID, int]) -> tuple[str, int, str] | None:
    """Outcome, status and members where even this arm says no."""
    if command.kind not in {"PlaceHold", "BookNow"}:
        return "not-in-this-arm", 501, "{}"
    if command.call.deadline < datetime.now(UTC):
        return "not-decided", 503, "{}"
    missing = [
        {"slot_id": slot_id, "requested": units}
        for slot_id, units in command.lines
        if slot_id not in hold_seconds
    ]
    return ("slot-not-found", 404, json.encode({"lines": missing}).decode()) if missing else None


def _repeat(
    ordinal: int, command: Command, known: asyncpg.Record, head: asyncpg.Record
) -> Decision:
    """The stored answer, or a refusal to answer another question under its key."""
    if known["fingerprint"] != command.call.fingerprint:
        return Decision(ordinal, "idempotency-key-reused", 422, "{}", None, None, *head)
    _, *answer = known.values()
    status, body, location, etag, epoch, position, recorded_at = answer
    return Decision(ordinal, "replayed", status, body, location, etag, epoch, position, recorded_at)
