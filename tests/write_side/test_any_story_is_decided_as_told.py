"""Any story of commands, in whatever batches, is decided as if one command came after the other.

A model in ten lines foretells every answer of the database.
"""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from booking.commands import Call, Command
from booking.guards import conditional_write
from booking.model import TRANSITIONS

CAPACITIES = (1, 3, 6)
KINDS = {"PlaceHold": "held", "BookNow": "confirmed"}
ENDINGS = ("ConfirmBooking", "ReleaseHold", "CancelBooking")


class Order(NamedTuple):
    kind: str
    booking: int
    lines: dict[int, int]


orders = st.builds(
    Order,
    st.sampled_from([*KINDS, *KINDS, *ENDINGS]),
    st.integers(0, 7),
    st.dictionaries(st.integers(0, 2), st.integers(1, 3), min_size=1, max_size=3),
)
stories = st.lists(
    st.lists(orders, min_size=1, max_size=8, unique_by=lambda order: order.booking),
    min_size=1,
    max_size=6,
)


class Foretold:
    """What must be answered: the contract, without a database."""

    def __init__(self):
        self.bookings: dict[int, tuple[str, dict[int, int]]] = {}

    def used(self, slot):
        return sum(
            lines.get(slot, 0)
            for state, lines in self.bookings.values()
            if state in {"held", "confirmed"}
        )

    def answer(self, order):
        state, lines = self.bookings.get(order.booking, (None, order.lines))
        if order.kind in KINDS:
            if any(self.used(s) + n > CAPACITIES[s] for s, n in order.lines.items()):
                return "capacity-exceeded"
            if state is not None:
                return "already-exists"
            self.bookings[order.booking] = (KINDS[order.kind], order.lines)
            return "accepted"
        if state is None:
            return "booking-not-found"
        transitions = TRANSITIONS[order.kind]
        if state not in transitions and state not in transitions.values():
            return "wrong-state"
        self.bookings[order.booking] = (transitions.get(state, state), lines)
        return "accepted"


@pytest.fixture
def shop(one_shop):
    """Each story has slots and bookings of its own."""
    return one_shop


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(story=stories)
async def test_every_answer_is_the_one_foretold_and_the_books_agree(shop, story):
    resource = await shop.resource()
    slots = [UUID((await shop.slots(1, capacity=c, resource=resource))[0]) for c in CAPACITIES]
    bookings = [uuid4() for _ in range(8)]
    foretold = Foretold()
    before = await shop.head()
    for batch in story:
        decisions = await conditional_write.take(
            shop.database, [as_command(order, slots, bookings) for order in batch]
        )
        answers = {decision.ordinal: decision.outcome for decision in decisions}
        assert [answers[n] for n in range(len(batch))] == [foretold.answer(o) for o in batch]
    for number, slot in enumerate(slots):
        row = await shop.database.fetchrow("SELECT * FROM booking.slot WHERE slot_id = $1", slot)
        assert row["held"] + row["confirmed"] == foretold.used(number) <= CAPACITIES[number]
    states = await shop.database.fetch(
        "SELECT state FROM booking.booking WHERE booking_id = ANY ($1)", bookings
    )
    assert Counter(row["state"] for row in states) == Counter(
        state for state, _ in foretold.bookings.values()
    )
    assert await shop.head() >= before
    await shop.assert_books_agree()


def as_command(order, slots, bookings):
    call = Call(
        caller="tests",
        command_id=str(uuid4()),
        fingerprint=b"f",
        deadline=datetime.now(UTC) + timedelta(seconds=30),
    )
    if order.kind not in KINDS:
        return Command(order.kind, call, bookings[order.booking])
    lines = tuple(sorted((slots[s], n) for s, n in order.lines.items()))
    return Command(order.kind, call, bookings[order.booking], uuid4(), None, lines)
