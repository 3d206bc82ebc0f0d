"""NOT A GUARD of capacity: some transactions take their time, and the arms differ in when events get their numbers.

`numbered_last` numbers an event as the product does, under the last lock before the commit, so whoever
sees a number sees all below it. `numbered_first` draws the number when the transaction begins, from a
sequence, as an identity column does: while a slow one holds an early number, later numbers commit, and
a reader that asks for `position > last` never comes back for it.

How they stay comparable: the same commands are slow in both, by their ids; both decide as the product
does. What is slow here is a pause; in earnest it is a lock, a big batch or a busy machine.
"""

import asyncio
from collections.abc import Sequence
from hashlib import blake2b

import asyncpg

from booking.attempts import CALL_TIMEOUT_S
from booking.commands.command import Command, Decision
from booking.guards import conditional_write

SLOW_ONE_IN = 10
PAUSE_S = 0.25
"""Longer than any reader waits between two looks."""

DRAW = """
SELECT set_config('laboratory.drawn', laboratory.draw(1)::text, true)
"""


async def numbered_first(
    connection: asyncpg.Connection, commands: Sequence[Command]
) -> list[Decision]:
    """Draw the event's number, perhaps dawdle, decide, commit.

    Raises:
        asyncpg.PostgresError: nothing has happened, and the number is lost.
    """
    async with asyncio.timeout(CALL_TIMEOUT_S), connection.transaction():
        await connection.execute(DRAW)
        await dawdle(commands)
        return await conditional_write.take(connection, commands)


async def numbered_last(
    connection: asyncpg.Connection, commands: Sequence[Command]
) -> list[Decision]:
    """Perhaps dawdle, decide, number the event, commit.

    Raises:
        asyncpg.PostgresError: nothing has happened.
    """
    async with asyncio.timeout(CALL_TIMEOUT_S), connection.transaction():
        await dawdle(commands)
        return await conditional_write.take(connection, commands)


async def dawdle(commands: Sequence[Command]) -> None:
    """The pause of a slow transaction; none where no command is slow."""
    if any(is_slow(command.call.command_id) for command in commands):
        await asyncio.sleep(PAUSE_S)


def is_slow(command_id: str) -> bool:
    """Whether this command's transaction takes its time, every time it is tried."""
    return blake2b(command_id.encode(), digest_size=1).digest()[0] % SLOW_ONE_IN == 0
