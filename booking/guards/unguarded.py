"""NOT A GUARD. What happens when a booking is written because a view said there were units left.

What it protects: nothing. Units are added without any condition, as a service does that has checked
availability before, in a view, in a cache, in an earlier statement. It exists so that the
laboratory can show the oversell that the product's guard prevents, on the same requests.

How it stays comparable: it is batched like the product, and its bookkeeping is every arm's; so the
arms differ in the condition alone. The constraint `slot_never_oversold` would still stop it;
`laboratory.remove_the_last_line` takes that away, in the laboratory's throw-away database only, which
every process then refuses elsewhere.
"""

from collections.abc import Sequence

import asyncpg

from booking.commands.command import Command, Decision
from booking.guards.bookkeeping import count_units, keep


async def take(connection: asyncpg.Connection, commands: Sequence[Command]) -> list[Decision]:
    """Accept every new booking whose slots exist, however full they are.

    Raises:
        asyncpg.CheckViolationError: the last line of defence still stands.
    """
    # The mistake: no `AND held + confirmed + … <= capacity + overbooking_units`.
    return await keep(connection, commands, count_units)
