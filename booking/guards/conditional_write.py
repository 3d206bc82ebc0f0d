"""The product's guard: units are taken by a conditional write, under the locks it is judged with.

What it protects: no slot is ever sold beyond capacity + overbooking_units, a booking gets all its
lines or none, a hold leaves its state once, and every refusal is true at the version it names.

How: `booking.decide` (schema, 0009) locks the batch's slots in id order, looks up keys and bookings,
judges each command in arrival order on what the earlier ones left, reclaims units from holds past
their time before it refuses any, and writes each slot once:

    UPDATE booking.slot SET held = held + …, version = …
    WHERE slot_id = … AND version = <as locked> AND held + confirmed + … <= capacity + overbooking_units

with the row count checked and the constraint `slot_never_oversold` behind it; then it records and
numbers what happened. Each step is a function of its own. READ COMMITTED and separate statements are
part of the guard: each statement sees what was committed before it began, and a locked row is read as
it was when the lock was got, so what is judged is what is locked.

What it costs: one round trip and one flush per batch of up to 192 commands; waiting for a slot's
lock while another process's batch commits (`lock_timeout` 2 s ends that).
"""

from collections.abc import Sequence

import asyncpg

from booking.attempts import CALL_TIMEOUT_S
from booking.commands.command import Command, Decision

DECIDE = """
SELECT ordinal, outcome, status, body, location, etag, epoch, "position", as_of
FROM booking.decide($1::booking.command[], $2::booking.requested_line[])
"""


async def take(connection: asyncpg.Connection, commands: Sequence[Command]) -> list[Decision]:
    """Decide a batch in one statement, which is one transaction; decisions carry the ordinals.

    Raises:
        asyncpg.PostgresError: nothing has happened, unless the connection was lost.
    """
    rows = await connection.fetch(
        DECIDE,
        [command.row(ordinal) for ordinal, command in enumerate(commands)],
        [
            (ordinal, slot_id, units)
            for ordinal, command in enumerate(commands)
            for slot_id, units in command.lines
        ],
        timeout=CALL_TIMEOUT_S,
    )
    return [Decision(*row) for row in rows]
