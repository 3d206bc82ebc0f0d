"""NOT A GUARD. A batch refused by its sum: what all of it asks of a slot is held against what is left.

What it protects: the capacity, and it is cheap. What it lets through: false refusals. Two parties of
two that come together are both sent away from the last three places, though one of them would fit;
and the more come at once, the more places stay empty.

How it stays comparable: what is not refused by the sum is decided as the product decides it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from uuid import UUID

import asyncpg
from msgspec import json, structs

from booking.commands.command import Command, Decision
from booking.guards import conditional_write
from booking.guards.bookkeeping import HEAD
from booking.guards.facts import TAKING

LEFT = """
SELECT slot_id, capacity + overbooking_units - held - confirmed AS remaining, version
FROM booking.slot WHERE slot_id = ANY ($1)
"""


async def take(connection: asyncpg.Connection, commands: Sequence[Command]) -> list[Decision]:
    """Refuse together what does not fit together; decide the others.

    Raises:
        asyncpg.PostgresError: nothing has happened, unless the connection was lost.
    """
    asked: Counter[UUID] = Counter()
    for command in commands:
        if command.kind in TAKING:
            asked.update(dict(command.lines))
    left = {row["slot_id"]: row for row in await connection.fetch(LEFT, list(asked))}
    # The mistake: the sum says that not all fit, and not that this one does not.
    short = {slot_id: row for slot_id, row in left.items() if asked[slot_id] > row["remaining"]}
    others = [n for n, command in enumerate(commands) if not _touches(command, short)]
    decided = await conditional_write.take(connection, [commands[n] for n in others])
    answers = [structs.replace(one, ordinal=others[one.ordinal]) for one in decided]
    head = await connection.fetchrow(HEAD)
    if head is None:
        raise AssertionError("The log has no head.")
    for n, command in enumerate(commands):
        if _touches(command, short):
            lines = [
                {"requested": units, **short[slot_id]}
                for slot_id, units in command.lines
                if slot_id in short
            ]
            body = json.encode({"lines": lines}).decode()
            answers.append(Decision(n, "capacity-exceeded", 409, body, None, None, *head))
    return answers


def _touches(command: Command, short: Mapping[UUID, object]) -> bool:
    return command.kind in TAKING and any(slot_id in short for slot_id, _ in command.lines)
