"""How resources and slots come to be, and by which rules: one deciding call each, one transaction.

What it protects: an id exists once, a list of slots is opened as a whole or not at all, a policy is
changed from the version that was seen, and a repeated key gets its first answer. How: the functions
of schema 0010, under the same lock order (resources, slots, head of the log) as bookings.
What it costs: one flush per call; nobody queues for these, so they are not batched. A limit per
customer that was not there before costs 4 us per live booking of the resource, before any lock.
"""

from collections.abc import Callable
from uuid import UUID

import asyncpg

from booking.attempts import CALL_TIMEOUT_S
from booking.commands import Call, Command, CreateResource, Decision, OpenSlots, SetPolicy
from booking.model import Policy

CREATE = """
SELECT ordinal, outcome, status, body, location, etag, epoch, "position", as_of
FROM booking.create_resource($1::booking.command, $2, $3, $4, $5, $6, $7, $8)
"""
SET_POLICY = """
SELECT ordinal, outcome, status, body, location, etag, epoch, "position", as_of
FROM booking.set_policy($1::booking.command, $2, $3, $4, $5, $6)
"""
OPEN = """
SELECT ordinal, outcome, status, body, location, etag, epoch, "position", as_of
FROM booking.open_slots($1::booking.command, $2, $3, $4, $5, $6)
"""


async def create_resource(
    connection: asyncpg.Connection, call: Call, order: CreateResource, resource_id: UUID
) -> Decision:
    """Decide in one statement; `resource_id` is the client's, or a new one."""
    policy = order.policy or Policy()
    row = await connection.fetchrow(
        CREATE,
        Command("CreateResource", call).row(0),
        resource_id,
        order.name,
        order.time_zone,
        policy.hold_seconds,
        policy.units_per_booking_max,
        policy.units_per_customer_max,
        policy.overbooking_units,
        timeout=CALL_TIMEOUT_S,
    )
    return Decision.of(row)


async def set_policy(
    connection: asyncpg.Connection, call: Call, order: SetPolicy, resource_id: UUID
) -> Decision:
    """Decide in one statement; `call.if_match` names the versions the client means."""
    row = await connection.fetchrow(
        SET_POLICY,
        Command("SetPolicy", call).row(0),
        resource_id,
        order.hold_seconds,
        order.units_per_booking_max,
        order.units_per_customer_max,
        order.overbooking_units,
        timeout=CALL_TIMEOUT_S,
    )
    return Decision.of(row)


async def open_slots(
    connection: asyncpg.Connection,
    call: Call,
    order: OpenSlots,
    resource_id: UUID,
    new_id: Callable[[], UUID],
) -> Decision:
    """Decide in one statement; slots that name no id get a new one."""
    row = await connection.fetchrow(
        OPEN,
        Command("OpenSlots", call).row(0),
        resource_id,
        [slot.slot_id or new_id() for slot in order.slots],
        [slot.starts_at for slot in order.slots],
        [slot.ends_at for slot in order.slots],
        [slot.capacity for slot in order.slots],
        timeout=CALL_TIMEOUT_S,
    )
    return Decision.of(row)
