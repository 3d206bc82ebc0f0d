"""NOT A GUARD. Holds that are over when the application's clock says so, and not when somebody ends them.

What it protects: nothing that lasts longer than two clocks agree. Units of a hold past its time count
as free, and a hold that is not past its time may be confirmed; where one process's clock is ahead,
it sells what another still lets its owner pay for. `right` has the machine's clock, `ahead` one that
is a second fast.

How it stays comparable: slots are locked before they are counted, so only the clock can be wrong;
keys, events and positions are every arm's (`bookkeeping`), and commands besides confirming, too.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import asyncpg

from booking.attempts import CALL_TIMEOUT_S
from booking.commands.command import Command, Decision
from booking.guards.bookkeeping import RECORD, Move, Short, count_units, keep, refuse
from booking.guards.eligibility import Refusal, refused
from booking.guards.facts import BOOKINGS, LINES

AHEAD = timedelta(seconds=1)

LOCK = "SELECT FROM booking.slot WHERE slot_id = $1 FOR NO KEY UPDATE"
LEFT_BY_THE_CLOCK = """
SELECT s.capacity + s.overbooking_units - s.confirmed - coalesce((
           SELECT sum(l.units) FROM booking.booking_line AS l JOIN booking.booking AS b USING (booking_id)
           WHERE l.slot_id = s.slot_id AND b.state = 'held' AND b.expires_at > $2), 0)::integer
           AS remaining, s.version
FROM booking.slot AS s WHERE s.slot_id = $1
"""


async def right(connection: asyncpg.Connection, commands: Sequence[Command]) -> list[Decision]:
    """Decide one command by the machine's clock."""
    return await _decide(connection, commands, datetime.now(UTC))


async def ahead(connection: asyncpg.Connection, commands: Sequence[Command]) -> list[Decision]:
    """Decide one command by a clock that is a second ahead."""
    return await _decide(connection, commands, datetime.now(UTC) + AHEAD)


async def _decide(
    connection: asyncpg.Connection, commands: Sequence[Command], now: datetime
) -> list[Decision]:
    async def grant(connection: asyncpg.Connection, move: Move) -> asyncpg.Record | Short:
        await connection.execute(LOCK, move.slot_id)
        left = await connection.fetchrow(LEFT_BY_THE_CLOCK, move.slot_id, now)
        if move.units > 0 and left is not None and left["remaining"] < move.units:
            return Short(*left)
        # The mistake: who held these units has not been told, and their own clock says otherwise.
        return await count_units(connection, move)

    if [command.kind for command in commands] == ["ConfirmBooking"]:
        async with asyncio.timeout(CALL_TIMEOUT_S), connection.transaction():
            return [await _confirm(connection, commands[0], now)]
    return await keep(connection, commands, grant)


async def _confirm(connection: asyncpg.Connection, command: Command, now: datetime) -> Decision:
    """Confirm a hold that is not past its time by this clock."""
    it = await connection.fetchrow(BOOKINGS, [command.booking_id])
    if it is None:
        return await _refuse(
            connection, refused("booking-not-found", 404, booking_id=command.booking_id)
        )
    if it["state"] == "confirmed":
        decision = _entry(command, it, None, it["version"])
        return Decision.of(await connection.fetchrow(RECORD, [decision], []))
    if it["state"] != "held" or it["expires_at"] <= now:
        no = refused(
            "wrong-state",
            409,
            booking_id=command.booking_id,
            state=it["state"],
            version=it["version"],
            allowed=["held"],
        )
        return await _refuse(connection, no._replace(etag=it["version"]))
    changes = []
    for booking_id, slot_id, units in await connection.fetch(LINES, [command.booking_id]):
        resource_id, *slot = await count_units(
            connection, Move(booking_id, slot_id, held=-units, confirmed=units)
        )
        changes.append((0, slot_id, resource_id, units, units, 0, *slot))
    decision = _entry(command, it, "BookingConfirmed", it["version"] + 1)
    return Decision.of(await connection.fetchrow(RECORD, [decision], changes))


async def _refuse(connection: asyncpg.Connection, no: Refusal) -> Decision:
    [decision] = await refuse(connection, [(0, no)])
    return decision


def _entry(
    command: Command, it: asyncpg.Record, event_type: str | None, version: int
) -> tuple[object, ...]:
    """The value of `booking.decision`."""
    call = command.call
    return (
        0,
        command.kind,
        call.caller,
        call.command_id,
        call.fingerprint,
        call.correlation_id,
        call.traceparent,
        1 if event_type else None,
        event_type,
        command.booking_id,
        it["customer_id"],
        it["customer_id"],
        "confirmed",
        it["state"],
        version,
        None,
    )
