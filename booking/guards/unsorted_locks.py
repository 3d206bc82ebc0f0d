"""NOT A GUARD. Slots are locked in the order in which commands name them, not in the order of their ids.

What it protects: all that the product does. What it lets through: two batches of two processes that
each hold what the other wants next. Postgres notices after `deadlock_timeout` (1 s) and ends one of
them; it is run again, and meanwhile everybody behind both has waited.

How it stays comparable: behind the locks the product decides. The edge has sorted a command's lines,
so an order of its own is drawn for each command, the same whenever it is tried.
"""

import asyncio
from collections.abc import Sequence
from hashlib import blake2b
from uuid import UUID

import asyncpg

from booking.attempts import CALL_TIMEOUT_S
from booking.commands.command import Command, Decision
from booking.guards import conditional_write

LOCK = "SELECT FROM booking.slot WHERE slot_id = $1 FOR NO KEY UPDATE"


async def take(connection: asyncpg.Connection, commands: Sequence[Command]) -> list[Decision]:
    """Lock the batch's slots as they are named, then decide.

    Raises:
        asyncpg.DeadlockDetectedError: somebody has locked them in another order; nothing has happened.
    """
    async with asyncio.timeout(CALL_TIMEOUT_S), connection.transaction():
        for command in commands:
            for slot_id in as_named(command):
                await connection.execute(LOCK, slot_id)
        return await conditional_write.take(connection, commands)


def as_named(command: Command) -> list[UUID]:
    """The slots of a command in an order that has nothing to do with their ids."""

    def drawn(slot_id: UUID) -> bytes:
        return blake2b(command.call.command_id.encode() + slot_id.bytes, digest_size=8).digest()

    return sorted((slot_id for slot_id, _ in command.lines), key=drawn)
