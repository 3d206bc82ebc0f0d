"""The back office under a guard of the laboratory: what the arm would not know is refused when it is asked for.

What it protects: an experiment from rules that are accepted and then make every booking a 501. How: such an
order is answered instead of decided; all others are decided as the product decides them.
"""

import asyncpg

from booking.attempts import DecidingCall
from booking.commands import CreateResource, Decision, OpenSlots, SetPolicy
from booking.guards.bookkeeping import refuse
from booking.guards.eligibility import refusal_of_inventory


def refusing(order: CreateResource | SetPolicy | OpenSlots) -> DecidingCall[Decision] | None:
    """The call that refuses an order; None where it is to be decided."""
    no = refusal_of_inventory(order)
    if no is None:
        return None

    async def answer(connection: asyncpg.Connection) -> Decision:
        [decision] = await refuse(connection, [(0, no)])
        return decision

    return answer
