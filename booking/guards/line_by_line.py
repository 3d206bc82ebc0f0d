"""NOT A GUARD. A stay taken night by night, each in a transaction of its own, as slot after slot is asked for.

What it protects: every slot's capacity, since each line is decided by the product's guard. What it lets
through: a stay whose third night is sold out keeps the first two, though its guest was refused; and a
stay that is moved has given its old nights back before the new ones turn out to be gone.

How it stays comparable: commands of one line, and all others, are decided as the product decides them.
A repeated key runs through the lines again, and ends in what the first time ended in.
"""

from collections.abc import Sequence

import asyncpg
from msgspec import structs

from booking.commands.command import Command, Decision
from booking.guards import conditional_write


async def take(connection: asyncpg.Connection, commands: Sequence[Command]) -> list[Decision]:
    """Decide commands in their order, and what takes several slots line by line.

    Raises:
        asyncpg.PostgresError: of one line; those before it stay taken.
    """
    decisions: list[Decision] = []
    for ordinal, command in enumerate(commands):
        decided = await _line_by_line(connection, command)
        decisions.append(structs.replace(decided, ordinal=ordinal))
    return decisions


async def _line_by_line(connection: asyncpg.Connection, command: Command) -> Decision:
    [first] = await conditional_write.take(connection, [_begin(command)])
    last = first
    for number in range(2, len(command.lines) + 1):
        if not last.accepted:
            break
        [last] = await conditional_write.take(connection, [_go_on(command, number)])
    if last.outcome == "again":  # holds in the way: what is taken by now cannot be asked for anew
        return structs.replace(last, outcome="not-decided", status=503, body="{}")
    # The mistake: where the last line was refused, nobody gives the ones before it back.
    if last.accepted:
        return structs.replace(last, status=first.status, location=first.location)
    return last


def _begin(command: Command) -> Command:
    """The command for its first line alone."""
    return structs.replace(command, lines=command.lines[:1])


def _go_on(command: Command, number: int) -> Command:
    """One line more for the booking there is by now."""
    call = structs.replace(
        command.call,
        command_id=f"{command.call.command_id}/{number}",
        fingerprint=None,
        if_match=None,
    )
    return Command("RescheduleBooking", call, command.booking_id, lines=command.lines[:number])
