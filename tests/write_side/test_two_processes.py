"""Several API processes on one database: they meet at row locks, and never in a circle."""

import asyncio
import random
from collections import Counter
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from test_holds_past_their_time import past_its_time
from test_the_batcher import open_desk

from booking.app import ROLE
from booking.commands import Call, Command, expire_hold
from booking.edge.database import open_pool
from booking.faults import Fault
from booking.sweeper import Sweeper

CHANCE = random.Random(23)  # noqa: S311 - a story that can be told again
ROUNDS = 12
AT_ONCE = 40


def a_call(**members):
    return Call(
        caller="tests",
        command_id=str(uuid4()),
        fingerprint=b"f",
        deadline=datetime.now(UTC) + timedelta(seconds=30),
        **members,
    )


def a_stay(nights):
    """Nights in any order; the database sorts them."""
    return tuple((UUID(n), CHANCE.randint(1, 2)) for n in CHANCE.sample(nights, 4))


KINDS = [
    "PlaceHold",
    "BookNow",
    "PlaceHold",
    "BookNow",
    "ConfirmBooking",
    "ReleaseHold",
    "CancelBooking",
    "ExtendHold",
    "ExpireHold",
    "RescheduleBooking",
    "TransferBooking",
    "ResizeSlot",
    "CloseSlot",
    "ReopenSlot",
    "ReopenSlot",
]


def an_order(nights, customers, bookings):
    """Anything that may be asked, about what is there."""
    kind = CHANCE.choice(KINDS)
    slot, customer = UUID(CHANCE.choice(nights)), CHANCE.choice(customers)
    if kind in {"PlaceHold", "BookNow"}:
        bookings.append(uuid4())
        return Command(kind, a_call(), bookings[-1], customer, None, a_stay(nights))
    if kind.endswith("Slot"):
        capacity = CHANCE.randint(10, 30) if kind == "ResizeSlot" else None
        return Command(kind, a_call(), slot_id=slot, capacity=capacity)
    booking = CHANCE.choice(bookings)
    if kind == "ExpireHold":
        return expire_hold(booking, deadline=datetime.now(UTC) + timedelta(seconds=30))
    return Command(
        kind,
        a_call(),
        booking,
        customer if kind == "TransferBooking" else None,
        lines=a_stay(nights) if kind == "RescheduleBooking" else (),
    )


async def test_overlapping_stays_moved_sold_and_swept_at_two_processes_never_deadlock(
    unswept_shop, database_url
):
    shop = unswept_shop
    nights = await shop.slots(10, capacity=20, units_per_customer_max=12)
    customers = [uuid4() for _ in range(6)]
    bookings = [UUID(await past_its_time(shop, {night: 2})) for night in nights]
    async with AsyncExitStack() as stack:
        desks = [await stack.enter_async_context(open_desk(database_url)) for _ in range(2)]
        pool = await stack.enter_async_context(
            await open_pool(
                database_url, role=ROLE, name="sweeper", size_max=2, statement_timeout_ms=4000
            )
        )
        outcomes = Counter()
        for _ in range(ROUNDS):
            orders = [
                CHANCE.choice(desks).batcher.submit(an_order(nights, customers, bookings))
                for _ in range(AT_ONCE)
            ]
            swept = asyncio.gather(*(Sweeper(pool, desk.batcher).run_once() for desk in desks))
            for answer in await asyncio.gather(*orders, return_exceptions=True):
                assert not isinstance(answer, BaseException | Fault), repr(answer)
                outcomes[answer.outcome] += 1
            await swept
            # Some holds are past their time for the next round.
            await shop.database.execute(
                "UPDATE booking.booking SET expires_at = clock_timestamp() WHERE state = 'held' "
                "AND expires_at > clock_timestamp() AND random() < 0.3"
            )
        assert not [error for desk in desks for error in desk.reruns if "Deadlock" in error]
    assert outcomes["accepted"] > ROUNDS
    assert len(outcomes) > 3, outcomes
    for night in nights:
        assert await shop.oversold(night) == 0
    kept = await shop.database.fetch(
        "SELECT slot_id, customer_id, units FROM booking.customer_use WHERE units > 0"
    )
    counted = await shop.database.fetch(
        "SELECT slot_id, customer_id, sum(units)::int FROM booking.booking "
        "JOIN booking.booking_line USING (booking_id) WHERE state IN ('held', 'confirmed') "
        "GROUP BY slot_id, customer_id"
    )
    assert sorted(map(tuple, kept)) == sorted(map(tuple, counted))
    assert max(units for _, _, units in counted) <= 12
    await shop.assert_books_agree()
