"""NOT A GUARD. advisory_lock_then_count with a stricter isolation level, which undoes it.

What it protects: nothing that is contended. How it fails: under REPEATABLE READ all statements of a
transaction see what was committed before its first one began. That first one is the wait for the
lock, or comes before it, so whoever waited counts the picture from before the wait and does not see
the claim of the one it waited for. The lock orders the transactions and their pictures stay equal.

How the oversell comes to light: claims are made in a REPEATABLE READ transaction of their own;
counters, events and positions follow in a second, READ COMMITTED one. In one transaction the log's
head, which everybody writes, would abort every loser, and hide the mistake behind an accident. What
the split costs: a process that dies between the two leaves a claim without a booking.
"""

from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

import asyncpg

from booking.commands.command import Command, Decision
from booking.guards.advisory_lock_then_count import LOCK
from booking.guards.bookkeeping import Move, Short, keep, new_moves
from booking.guards.claims import claim
from booking.guards.facts import TAKING

# Of a booking that was refused, or whose key was known: then it never came to be.
DROP_CLAIMS_WITHOUT_A_BOOKING = """
DELETE FROM laboratory.claim AS c
WHERE c.booking_id = ANY ($1)
  AND NOT EXISTS (SELECT FROM booking.booking AS b WHERE b.booking_id = c.booking_id)
"""


class _LineIsShort(Exception):
    """Takes back the claims on the booking's other slots: all lines or none."""


async def take(connection: asyncpg.Connection, commands: Sequence[Command]) -> list[Decision]:
    """Claim first, each command in its own transaction; then let everything else follow.

    Raises:
        asyncpg.PostgresError: nothing has happened, unless the connection was lost.
    """
    short: dict[tuple[UUID, UUID], Short] = {}
    for command in commands:
        if command.kind in TAKING:
            with suppress(_LineIsShort):
                await _claim_all(connection, command, short)

    async def as_counted(connection: asyncpg.Connection, move: Move) -> Short | None:
        if move.units < 0:
            return await claim(connection, move)  # giving back needs no count
        return short.get((move.booking_id, move.slot_id))

    try:
        return await keep(connection, commands, as_counted)
    finally:
        new = [command.booking_id for command in commands if command.kind in TAKING]
        await connection.execute(DROP_CLAIMS_WITHOUT_A_BOOKING, new)


async def _claim_all(
    connection: asyncpg.Connection, command: Command, short: dict[tuple[UUID, UUID], Short]
) -> None:
    """Lock, count and claim each slot of a new booking; what is missing is put into `short`."""
    missing = False
    async with connection.transaction(isolation="repeatable_read"):
        for move in new_moves(command):
            await connection.execute(LOCK, move.slot_id)
            if too_few := await claim(connection, move):
                short[move.booking_id, move.slot_id] = too_few
                missing = True
        if missing:
            raise _LineIsShort
