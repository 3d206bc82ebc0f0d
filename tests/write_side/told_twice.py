"""A story of commands told twice, to the deciding functions and to the plain model, and compared."""

import asyncio
import json
from collections import deque
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import ClassVar
from uuid import UUID

import asyncpg
from the_model import Answer, Model, Order, Reclaim

ROUNDS_MAX = 3
BATCH_SIZE_MAX = 24
TOLERANCE = timedelta(seconds=60)
"""Holds last 10 minutes or more, so moments are never mistaken for one another."""

DECIDE = "SELECT * FROM booking.decide($1, $2) ORDER BY ordinal"
CREATE = "SELECT * FROM booking.create_resource($1, $2, 'Hall', 'UTC', $3, $4, $5, $6)"
SET_POLICY = "SELECT * FROM booking.set_policy($1, $2, $3, $4, $5, $6)"
OPEN = "SELECT * FROM booking.open_slots($1, $2, $3, $4, $5, $6)"

LOG = 'SELECT * FROM booking.event_log WHERE "position" > $1 ORDER BY "position"'
SLOTS = "SELECT * FROM booking.slot WHERE slot_id = ANY ($1)"
BOOKINGS = "SELECT * FROM booking.booking WHERE booking_id = ANY ($1)"
LINES = "SELECT * FROM booking.booking_line WHERE booking_id = ANY ($1)"
USE = "SELECT * FROM booking.customer_use WHERE slot_id = ANY ($1) AND units > 0"
GROW_OLD = "UPDATE booking.booking SET expires_at = $2 WHERE booking_id = $1"


class Story:
    """Two resources with three slots each, the sixth slot being over; ids of its own."""

    runner: ClassVar[asyncio.Runner]
    connection: ClassVar[asyncpg.Connection]
    owner: ClassVar[asyncpg.Connection]
    numbers: ClassVar = count(1)
    told: ClassVar = {"commands": 0, "batches": 0, "stories": 0}

    def __init__(self):
        self.model = Model()
        # Ids of a story are its own and stand in a fixed order, so that it can be told again.
        self.family = next(self.numbers) << 64
        self.resources = [self.id(100 + n) for n in range(2)]
        self.slots = [self.id(200 + n) for n in range(7)]  # the last is never opened
        self.bookings = [self.id(300 + n) for n in range(10)]
        self.customers = [self.id(400 + n) for n in range(3)]
        self.keys = count(1)
        self.sent: list[Order] = []
        self.bodies: dict[tuple[str, str], str] = {}
        self.ages = count(1)
        self.base, self.epoch = self.fetch('SELECT "position", epoch FROM booking.log_head')[0]
        self.compared = 0
        self.sound = False
        self.told["stories"] += 1

    def id(self, number):
        return UUID(int=self.family + number)

    def fetch(self, query, *values):
        return self.runner.run(self.connection.fetch(query, *values))

    def key(self):
        return f"{self.family >> 64}-{next(self.keys)}"

    def create(self, resource, policy):
        self.alone(Order("create", self.key(), resource=resource, policy=policy))

    def open(self, resource, slots, capacities):
        """The sixth slot is over already."""
        years = [2001 if slot == 5 else 2100 for slot in slots]
        opened = tuple(
            (
                self.slots[slot],
                datetime(year, 1, 1, tzinfo=UTC),
                datetime(year, 1, 2, tzinfo=UTC),
                n,
            )
            for slot, year, n in zip(slots, years, capacities, strict=True)
        )
        self.alone(Order("open", self.key(), resource=resource, opened=opened))

    def grow_old(self, hold):
        """An owner's hand puts a hold past its time, the later the younger."""
        booking = self.model.bookings[hold]
        booking.expires_at = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=next(self.ages))
        booking.answer = {**booking.answer, "expires_at": booking.expires_at}
        self.runner.run(self.owner.execute(GROW_OLD, hold, booking.expires_at))

    def run_orders(self, orders):
        """As the batcher does: in order of arrival, what has to wait at the head of the next batch."""
        queue = deque((order, 1) for order in orders)
        while queue:
            batch, later, taken = [], [], set()
            while queue and len(batch) < BATCH_SIZE_MAX:
                order, _ = waiting = queue.popleft()
                names = {order.booking, (order.caller, order.key)} - {None}
                (later if taken & names else batch).append(waiting)
                taken |= names
            queue.extendleft(reversed(later))
            again, expiring = [], []
            answers = self.ask([order for order, _ in batch])
            end = self.expect([order for order, _ in batch], answers)
            for (order, turn), answer in zip(batch, answers, strict=True):
                if answer["outcome"] == "again":
                    assert turn <= ROUNDS_MAX, f"{order} is not decided after {turn} turns"
                    holds = [UUID(hold) for hold in json.loads(answer["body"])["expired"]]
                    again += [(self.expiry(hold), 1) for hold in holds if hold not in expiring]
                    again.append((order, turn + 1))
                    expiring += holds
            queue.extendleft(reversed(again))
            assert end == self.base + len(self.model.log)

    def expiry(self, hold):
        return Order("ExpireHold", f"expire:{hold}:{self.key()}", caller="system", booking=hold)

    def ask(self, orders):
        self.told["commands"] += len(orders)
        self.told["batches"] += 1
        commands = [as_command(number, order) for number, order in enumerate(orders)]
        lines = [
            (number, slot, units)
            for number, order in enumerate(orders)
            for slot, units in order.lines
        ]
        answers = self.fetch(DECIDE, commands, lines)
        assert [answer["ordinal"] for answer in answers] == list(range(len(orders)))
        return answers

    def alone(self, order):
        """A command of the back office."""
        command = as_command(0, order)
        values = (order.resource, *(order.policy or ()))
        if order.kind == "open":
            values = (order.resource, *(list(column) for column in zip(*order.opened, strict=True)))
        query = {"create": CREATE, "policy": SET_POLICY, "open": OPEN}[order.kind]
        self.expect([order], self.fetch(query, command, *values))

    def expect(self, orders, answers):
        """Every answer is the model's; where the log stands at the end."""
        now, self.sound = datetime.now(UTC), False
        self.model.just_expired.clear()
        waiting: set[UUID] = set()
        promised: list[UUID] = []
        for order, answer in zip(orders, answers, strict=True):
            actual = dict(answer)
            if actual["outcome"] == "again":
                holds = [UUID(hold) for hold in json.loads(actual["body"])["expired"]]
                self.must_wait(order, holds, waiting, now, alone=len(orders) == 1)
                assert not set(holds) & set(promised), "A hold is to expire twice"
                promised += holds
                waiting |= self.slots_of(order).union(*map(self.slots_of_hold, holds))
                continue
            before = self.slots_of(order)
            expected = self.model.decide(order, now)
            changed = self.model.bookings.get(order.booking)
            if changed is not None and changed.state == "held" and changed.expires_at <= now:
                waiting |= before | self.slots_of(order)  # who wants units of these looks again
            assert isinstance(expected, Answer), f"{order}: {actual} despite {expected}"
            assert (actual["outcome"], actual["status"]) == expected[:2], f"{order}: {actual}"
            assert actual["etag"] == expected.etag, f"{order}: {actual}, {expected}"
            assert actual["location"] == expected.location
            assert actual["epoch"] == self.epoch
            differ = difference(expected.body, json.loads(actual["body"]), self.base)
            assert not differ, f"{order}: {differ}: {actual}, {expected}"
            if expected.position is not None:
                assert actual["position"] == self.base + expected.position, f"{order}: {actual}"
            name = order.caller, order.key
            if actual["outcome"] == "replayed":
                assert actual["body"] == self.bodies[name]
            elif actual["outcome"] == "accepted":
                self.bodies[name] = actual["body"]
        end = self.base + len(self.model.log)
        for answer in answers:
            if answer["outcome"] not in {"accepted", "replayed"}:
                assert answer["position"] == end
        return end

    def must_wait(self, order, holds, waiting, now, *, alone):
        """`again` is said for a reason only: holds to expire, or somebody who waits for such."""
        for hold in holds:
            booking = self.model.bookings[hold]
            assert booking.state == "held"
            assert booking.expires_at <= now
        if alone:
            assert self.model.decide(order, now) == Reclaim(holds), f"{order}: {holds}"
        elif not waiting & self.slots_of(order):
            assert isinstance(self.model.decide(order, now), Reclaim), f"{order}: {holds}"

    def slots_of(self, order):
        lines = {slot for slot, _ in order.lines}
        return lines | ({order.slot} - {None}) | self.slots_of_hold(order.booking)

    def slots_of_hold(self, booking):
        known = self.model.bookings.get(booking)
        return set(known.lines) if known else set()

    # What is kept

    def check(self):
        """Slots, bookings, lines, customers' use and the log are the model's."""
        model = self.model
        for row in self.fetch(SLOTS, self.slots):
            slot = model.slots[row["slot_id"]]
            shown = {**slot.shown(), "starts_at": slot.starts_at, "ends_at": slot.ends_at}
            del shown["remaining"]
            row = {name: str(v) if isinstance(v, UUID) else v for name, v in row.items()}  # noqa: PLW2901 - the same row, in the model's words
            assert row == shown
            assert slot.remaining >= 0
        bookings = {row["booking_id"]: dict(row) for row in self.fetch(BOOKINGS, self.bookings)}
        assert bookings.keys() == model.bookings.keys()
        for booking_id, row in bookings.items():
            booking = model.bookings[booking_id]
            expected = {
                "booking_id": booking_id,
                "customer_id": booking.customer,
                "state": booking.state,
                "version": booking.version,
                "expires_at": booking.expires_at,
                "position": booking.answer["position"],
            }
            assert not difference(expected, row, self.base)
        lines = {
            (r["booking_id"], r["slot_id"]): r["units"] for r in self.fetch(LINES, self.bookings)
        }
        assert lines == {
            (booking.booking_id, slot): units
            for booking in model.bookings.values()
            for slot, units in booking.lines.items()
        }
        use = {(r["slot_id"], r["customer_id"]): r["units"] for r in self.fetch(USE, self.slots)}
        assert use == {
            (slot.slot_id, customer): model.used(slot.slot_id, customer)
            for slot in model.slots.values()
            for customer in self.customers
            if slot.resource.customer_max is not None and model.used(slot.slot_id, customer)
        }
        self.log_is_the_models()

    def log_is_the_models(self):
        happened = self.fetch(LOG, self.base + self.compared)
        expected = self.model.log[self.compared :]
        assert len(happened) == len(expected)
        for row, event in zip(happened, expected, strict=True):
            actual = {name: row[name] for name in event}
            actual["slots"], actual["data"] = json.loads(row["slots"]), json.loads(row["data"])
            differ = difference(event, actual, self.base)
            assert not differ, f"{differ}: {actual}, {event}"
        self.compared = len(self.model.log)
        self.sound = True

    def check_the_fold(self):
        """The log's slots alone tell where every slot stands; their versions have no holes."""
        if not self.sound:
            return
        folded: dict[str, list[dict]] = {}
        for event in self.fetch(LOG, self.base):
            for change in json.loads(event["slots"]):
                folded.setdefault(change["slot_id"], []).append(change)
        for slot in self.model.slots.values():
            changes = folded[str(slot.slot_id)]
            assert [change["version"] for change in changes] == list(range(1, slot.version + 1))
            assert sum(change.pop("units") for change in changes) == slot.held + slot.confirmed
            assert changes[-1] == slot.shown()


def as_command(number, order):
    """As `booking.command` has it."""
    now = datetime.now(UTC)
    asked = repr(order._replace(too_late=False)).encode()
    return (
        number,
        order.kind,
        order.caller,
        order.key,
        None if order.caller == "system" else asked,
        now - timedelta(seconds=1) if order.too_late else now + timedelta(seconds=60),
        None,
        None,
        order.owner,
        order.booking,
        order.customer,
        order.hold_seconds,
        None if order.if_match is None else list(order.if_match),
        order.slot,
        order.capacity,
        order.overbooking,
    )


def difference(expected, actual, base, name=""):
    """What differs, or nothing. Moments need only be near; positions count from `base`."""
    if isinstance(expected, dict):
        if not isinstance(actual, dict) or expected.keys() != actual.keys():
            return f"{name}: {actual} instead of {expected}"
        found = [difference(v, actual[k], base, f"{name}.{k}") for k, v in expected.items()]
        return next(filter(None, found), None)
    if isinstance(expected, list):
        if not isinstance(actual, list) or len(expected) != len(actual):
            return f"{name}: {actual} instead of {expected}"
        pairs = enumerate(zip(expected, actual, strict=True))
        found = [difference(e, a, base, f"{name}[{n}]") for n, (e, a) in pairs]
        return next(filter(None, found), None)
    if name.endswith(".position"):
        actual -= base
    if isinstance(expected, datetime) and actual is not None:
        moment = actual if isinstance(actual, datetime) else datetime.fromisoformat(actual)
        same = abs(moment - expected) < TOLERANCE
    else:
        same = expected == actual
    return None if same else f"{name}: {actual} instead of {expected}"
