"""Whatever is asked in whatever order and batches, the database answers as a plain model does.

A state machine of hypothesis tells random stories of all commands to the deciding functions and to
the model, and compares every answer and, after every step, all that is kept: slots, bookings, lines,
customers' use, and the event log. Holds grow old by an owner's hand, in both worlds at once.
"""

import asyncio
import json
import os
from collections import deque
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import ClassVar, NamedTuple
from uuid import UUID

import asyncpg
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from the_model import ABOUT_SLOTS, MOVES, NEW, Answer, Model, Order, Reclaim

from booking.embedded.postgres import create_database

ROUNDS_MAX = 3
BATCH_SIZE_MAX = 24
TOLERANCE = timedelta(seconds=60)
"""Holds last 10 minutes or more, so moments are never mistaken for one another."""

SHRINK = (Phase.shrink,)

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

some_units = st.sampled_from([1, 1, 1, 2, 2, 3, 5])
policies = st.tuples(
    st.sampled_from([600, 900, 3600]),
    st.sampled_from([None, None, 3]),
    st.sampled_from([None, 3, 4]),
    st.sampled_from([0, 0, 1]),
)
matches = st.sampled_from(["none"] * 6 + ["right", "right", "several", "wrong", "weak"])


class Wish(NamedTuple):
    """An order before it is known who is who."""

    kind: str
    booking: int
    customer: int
    lines: dict[int, int]
    slot: int
    capacity: int
    overbooking: int | None
    hold_seconds: int | None
    if_match: str
    owner: int
    repeats: int
    too_late: int


wishes = st.builds(
    Wish,
    st.sampled_from(
        [*["PlaceHold"] * 4, *["BookNow"] * 2, *MOVES, "RescheduleBooking", *ABOUT_SLOTS]
    ),
    st.integers(0, 9),
    st.integers(0, 2),
    st.dictionaries(
        st.sampled_from([0, 0, 0, 1, 1, 2, 3, 4, 5, 6]), some_units, min_size=1, max_size=3
    ),
    st.sampled_from([0, 0, 0, 1, 2, 3, 6]),
    st.integers(0, 8),
    st.sampled_from([None, None, 0, 2]),
    st.sampled_from([None, None, 600, 900, 1000]),
    matches,
    st.sampled_from([-1] * 8 + [0, 1]),
    st.integers(-20, 6),
    st.integers(0, 30),
)


class EveryCommand(RuleBasedStateMachine):
    """The deciding functions and the model, told the same story."""

    runner: ClassVar[asyncio.Runner]
    connection: ClassVar[asyncpg.Connection]
    owner: ClassVar[asyncpg.Connection]
    numbers: ClassVar = count(1)
    told: ClassVar = {"commands": 0, "batches": 0, "stories": 0}

    def __init__(self):
        super().__init__()
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

    # What happens

    @initialize(
        policies=st.tuples(policies, policies),
        capacities=st.lists(st.integers(1, 6), min_size=6, max_size=6),
    )
    def open_the_shop(self, policies, capacities):
        for resource, policy in zip(self.resources, policies, strict=True):
            self.create(resource, policy)
        self.open(self.resources[0], [0, 2, 4], capacities[:3])
        self.open(self.resources[1], [1, 3, 5], capacities[3:])

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

    @rule(wishes=st.lists(wishes, min_size=1, max_size=10))
    def commands_come_together(self, wishes):
        self.run_orders([self.meant(wish) for wish in wishes])

    @rule(
        wishes=st.lists(wishes, min_size=1, max_size=3),
        lines=st.dictionaries(st.integers(0, 4), some_units, min_size=1, max_size=2),
        book=st.booleans(),
    )
    def a_herd_comes(self, wishes, lines, book):
        """Several customers want the same at once."""
        kind = "BookNow" if book else "PlaceHold"
        herd = [wish._replace(kind=kind, lines=lines, if_match="none") for wish in wishes]
        self.run_orders([self.meant(wish) for wish in herd + wishes])

    @rule(which=st.integers(0, 1), policy=policies, match=matches, repeat=st.integers(0, 5))
    def the_policy_changes(self, which, policy, match, repeat):
        resource = self.resources[which]
        version = self.model.resources[resource].version
        order = Order("policy", self.key(), resource=resource, policy=policy)
        order = order._replace(if_match=self.versions(match, version))
        self.alone(order)
        if repeat == 0:
            self.alone(order)
            self.alone(order._replace(policy=(1, 1, 1, 1)))

    @rule(what=st.sampled_from(["create", "open", "open nowhere", "policy nowhere"]))
    def a_mistake_is_made(self, what):
        if what == "create":
            self.create(self.resources[0], (600, None, None, 0))
        elif what == "policy nowhere":
            policy = (600, None, None, 0)
            self.alone(Order("policy", self.key(), resource=self.id(199), policy=policy))
        else:
            where = self.resources[0] if what == "open" else self.id(199)
            self.open(
                where, [6, 0, 2] if what == "open" else [6], [1, 1, 1][: 3 if what == "open" else 1]
            )

    @rule(which=st.lists(st.integers(0, 9), min_size=1, max_size=6, unique=True))
    def holds_grow_old(self, which):
        for number in which:
            booking = self.model.bookings.get(self.bookings[number])
            if booking is not None and booking.state == "held":
                booking.expires_at = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(
                    days=next(self.ages)
                )
                booking.answer = {**booking.answer, "expires_at": booking.expires_at}
                self.runner.run(
                    self.owner.execute(GROW_OLD, booking.booking_id, booking.expires_at)
                )

    # How it is asked

    def meant(self, wish):
        if 0 <= wish.repeats < 3 and self.sent:
            return self.sent[-1 - wish.repeats % len(self.sent)]
        kind, booking = wish.kind, self.bookings[wish.booking]
        order = Order(kind, self.key(), too_late=wish.too_late == 0)
        if wish.repeats == 3 and self.sent:
            order = order._replace(key=self.sent[-1].key)
        if kind in ABOUT_SLOTS:
            order = order._replace(slot=self.slots[wish.slot])
            slot = self.model.slots.get(order.slot)
            if kind == "ResizeSlot":
                order = order._replace(capacity=wish.capacity, overbooking=wish.overbooking)
            if_match = self.versions(wish.if_match, slot.version if slot else 1)
        else:
            order = order._replace(booking=booking)
            known = self.model.bookings.get(booking)
            if kind not in NEW and wish.owner >= 0:
                order = order._replace(owner=self.customers[wish.owner])
            if_match = self.versions(wish.if_match, known.version if known else 1)
        if kind not in NEW and kind != "ExpireHold":
            order = order._replace(if_match=if_match)
        if kind in NEW or kind == "TransferBooking":
            order = order._replace(customer=self.customers[wish.customer])
        if kind in NEW or kind == "RescheduleBooking":
            lines = sorted((self.slots[slot], units) for slot, units in wish.lines.items())
            order = order._replace(lines=tuple(lines))
        if kind in {"PlaceHold", "ExtendHold"}:
            order = order._replace(hold_seconds=wish.hold_seconds)
        self.sent.append(order)
        return order

    def versions(self, match, right):
        return {
            "none": None,
            "right": (right,),
            "wrong": (right + 7,),
            "several": (right + 7, right),
            "weak": (),
        }[match]

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
            expected = self.model.decide(order, now)
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

    @invariant()
    def all_that_is_kept_is_the_models(self):
        model = self.model
        for row in self.fetch(SLOTS, self.slots):
            slot = model.slots[row["slot_id"]]
            shown = {**slot.shown(), "starts_at": slot.starts_at, "ends_at": slot.ends_at}
            del shown["remaining"]
            row = {name: str(v) if isinstance(v, UUID) else v for name, v in row.items()}  # noqa: PLW2901
            assert row == shown
            assert 0 <= slot.remaining
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

    def teardown(self):
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


def test_every_command_is_decided_as_the_model_decides(postgres, migrated):
    examples = int(os.environ.get("BOOKING_TEST_EXAMPLES", "60"))
    with asyncio.Runner() as runner:
        url = runner.run(create_database(postgres, "against_a_model", template=migrated))
        EveryCommand.runner = runner
        EveryCommand.owner = runner.run(asyncpg.connect(url))
        EveryCommand.connection = runner.run(
            asyncpg.connect(url, server_settings={"role": "booking_writer"})
        )
        try:
            run_state_machine_as_test(
                EveryCommand,
                settings=settings(
                    max_examples=examples,
                    stateful_step_count=12,
                    deadline=None,
                    phases=(Phase.generate, *SHRINK),
                    report_multiple_bugs=False,
                    derandomize="BOOKING_TEST_EXAMPLES" not in os.environ,
                    print_blob=True,
                    database=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            print(EveryCommand.told)
            runner.run(EveryCommand.connection.close())
            runner.run(EveryCommand.owner.close())
