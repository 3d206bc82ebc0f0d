"""Whatever is asked in whatever order and batches, the database answers as a plain model does.

A state machine of hypothesis tells random stories of all commands to the deciding functions and to
the model, and compares every answer and, after every step, all that is kept: slots, bookings, lines,
customers' use, and the event log. Holds grow old by an owner's hand, in both worlds at once.
"""

import asyncio
import os
from typing import NamedTuple

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from the_model import ABOUT_SLOTS, MOVES, NEW, Order
from told_twice import Story

from booking.embedded.postgres import create_database

ROWS_READ = """
    SELECT relname, seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables
    WHERE schemaname = 'booking' AND relname NOT IN ('transition', 'log_head')
"""

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


class EveryCommand(RuleBasedStateMachine, Story):
    """The deciding functions and the model, told the same story."""

    def __init__(self):
        RuleBasedStateMachine.__init__(self)
        Story.__init__(self)

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

    @rule(wishes=st.lists(wishes, min_size=1, max_size=12))
    def commands_come_together(self, wishes):
        self.run_orders([self.meant(wish) for wish in wishes])

    @rule(
        wishes=st.lists(wishes, min_size=3, max_size=8, unique_by=lambda wish: wish.booking),
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
                self.grow_old(booking.booking_id)

    @rule(
        lines=st.lists(
            st.dictionaries(st.integers(0, 2), st.integers(1, 2), min_size=1), max_size=4
        ),
        slots=st.permutations(range(5)),
    )
    def all_that_is_left_is_a_hold_past_its_time(self, lines, slots):
        """Several customers want some of three slots that are sold out but for one old hold."""
        wanted = [dict.fromkeys(range(3), 1), *lines]
        new = [booking for booking in self.bookings if booking not in self.model.bookings]
        orders = [
            Order(
                "PlaceHold" if booking == new[0] else "BookNow",
                self.key(),
                booking=booking,
                customer=self.customers[0],
                lines=tuple(sorted((self.slots[slots[n]], units) for n, units in few.items())),
            )
            for booking, few in zip(new, wanted, strict=False)
        ]
        self.run_orders(orders[:1])
        if not new or new[0] not in self.model.bookings:
            return
        self.grow_old(new[0])
        for slot in map(self.model.slots.get, self.model.bookings[new[0]].lines):
            capacity = max(0, slot.held + slot.confirmed - slot.overbooking)
            resize = Order("ResizeSlot", self.key(), slot=slot.slot_id, capacity=capacity)
            self.run_orders([resize])
        self.run_orders(orders[1:])

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

    @invariant()
    def all_that_is_kept_is_the_models(self):
        self.check()

    def teardown(self):
        self.check_the_fold()


@pytest.fixture(scope="module")
def _database(postgres, migrated):
    """A database for all stories of this file, and a loop of its own to reach it."""
    with asyncio.Runner() as runner:
        url = runner.run(create_database(postgres, "against_a_model", template=migrated))
        Story.runner = runner
        Story.owner = runner.run(asyncpg.connect(url))
        writer = {"role": "booking_writer"}
        Story.connection = runner.run(asyncpg.connect(url, server_settings=writer))
        yield
        runner.run(Story.connection.close())
        runner.run(Story.owner.close())


@pytest.fixture
def story(_database):
    """Roomy policies, six slots of 2 units; compared with the model once more when it ends."""
    story = Story()
    for resource in story.resources:
        story.create(resource, (600, None, None, 0))
    story.open(story.resources[0], [0, 2, 4], [2, 2, 2])
    story.open(story.resources[1], [1, 3, 5], [2, 2, 2])
    yield story
    story.check()
    story.check_the_fold()


def order(story, kind, booking=None, lines=None, **members):
    """By numbers, as a story has them."""
    if booking is not None:
        members["booking"] = story.bookings[booking]
    wanted = tuple((story.slots[slot], units) for slot, units in (lines or {}).items())
    if kind in NEW:
        members.setdefault("customer", story.customers[0])
    return Order(kind, story.key(), lines=wanted, **members)


@pytest.mark.usefixtures("_database")
def test_every_command_is_decided_as_the_model_decides():
    examples = int(os.environ.get("BOOKING_TEST_EXAMPLES", "100"))
    run_state_machine_as_test(
        EveryCommand,
        settings=settings(
            max_examples=examples,
            stateful_step_count=12,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            report_multiple_bugs=False,
            derandomize="BOOKING_TEST_EXAMPLES" not in os.environ,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert Story.told["stories"] >= examples


# What the stories found.


def test_an_unchanged_slot_is_told_as_of_the_events_before_it(story):
    story.run_orders(
        [
            order(story, "ReopenSlot", slot=story.slots[0]),
            order(story, "BookNow", 0, {0: 1}),
            order(story, "ReopenSlot", slot=story.slots[0]),
        ]
    )


def test_an_event_is_about_the_resource_whose_slots_it_touches(story):
    story.run_orders([order(story, "BookNow", 0, {0: 1, 1: 2})])
    story.run_orders([order(story, "RescheduleBooking", 0, {0: 2, 1: 2})])


def test_a_key_reused_for_another_policy_is_not_answered_with_the_first_ones_etag(story):
    asked = Order("policy", story.key(), resource=story.resources[0], policy=(900, None, 3, 1))
    story.alone(asked)
    story.alone(asked)
    story.alone(asked._replace(policy=(1, 1, 1, 1)))


def test_a_hold_that_cannot_help_its_own_booking_still_helps_the_next(story):
    story.run_orders([order(story, "PlaceHold", 0, {0: 2})])
    story.grow_old(story.bookings[0])
    story.run_orders([order(story, "PlaceHold", 0, {0: 1}), order(story, "PlaceHold", 1, {0: 1})])
    assert story.model.bookings[story.bookings[1]].state == "held"


@pytest.mark.parametrize("kind", ["RescheduleBooking", "TransferBooking"])
def test_a_hold_past_its_time_gives_way_also_when_it_was_just_changed(story, kind):
    story.run_orders([order(story, "PlaceHold", 0, {0: 2})])
    story.grow_old(story.bookings[0])
    changed = {
        "RescheduleBooking": order(story, kind, 0, {0: 2, 1: 1}),
        "TransferBooking": order(story, kind, 0, customer=story.customers[1]),
    }[kind]
    story.run_orders([changed, order(story, "BookNow", 1, {0: 2})])
    assert story.model.bookings[story.bookings[1]].state == "confirmed"


def test_a_hold_that_another_command_failed_to_change_gives_way(story):
    story.run_orders([order(story, "PlaceHold", 0, {0: 2})])
    story.grow_old(story.bookings[0])
    refused = order(story, "ConfirmBooking", 0, if_match=(7,))
    story.run_orders(
        [refused, order(story, "BookNow", 1, {0: 1}), order(story, "BookNow", 2, {0: 1})]
    )
    assert story.model.bookings[story.bookings[2]].state == "confirmed"


@pytest.mark.parametrize(("first", "second"), [(0, 1), (1, 0)])
def test_a_hold_that_is_not_enough_for_one_command_still_serves_the_next(story, first, second):
    story.run_orders([order(story, "PlaceHold", 0, {first: 1, second: 1})])
    story.grow_old(story.bookings[0])
    story.run_orders([order(story, "BookNow", 1, {first: 1, second: 1})])
    too_much = order(story, "BookNow", 2, {first: 1, second: 2})
    story.run_orders([too_much, order(story, "BookNow", 3, {second: 1})])
    assert story.bookings[2] not in story.model.bookings
    assert story.model.bookings[story.bookings[3]].state == "confirmed"


def test_no_more_holds_expire_than_those_who_wait_need(story):
    for number in range(2):
        story.run_orders([order(story, "PlaceHold", number, {0: 1})])
        story.grow_old(story.bookings[number])
    story.run_orders([order(story, "ResizeSlot", slot=story.slots[0], capacity=3)])
    story.run_orders([order(story, "BookNow", 2, {0: 1}), order(story, "BookNow", 3, {0: 1})])
    assert story.model.bookings[story.bookings[0]].state == "expired"
    assert story.model.bookings[story.bookings[1]].state == "held"


def test_a_stay_short_of_many_nights_is_decided_in_one_more_round(story):
    for number in range(5):
        story.run_orders([order(story, "PlaceHold", number, {number: 2})])
        story.grow_old(story.bookings[number])
    story.run_orders([order(story, "BookNow", 5, dict.fromkeys(range(5), 1))])
    assert story.model.bookings[story.bookings[5]].state == "confirmed"


def test_a_resize_is_not_outdated_by_the_holds_that_expire_for_it(story):
    story.run_orders([order(story, "PlaceHold", 0, {0: 2})])
    story.grow_old(story.bookings[0])
    resize = order(story, "ResizeSlot", slot=story.slots[0], capacity=1, if_match=(2,))
    story.run_orders([resize])
    assert story.model.slots[story.slots[0]].capacity == 1


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize(
    "kind", ["ConfirmBooking", "ExtendHold", "TransferBooking", "CancelBooking"]
)
def test_a_decision_reads_the_rows_it_is_about_and_no_others(story, kind, again):
    for number in range(10):
        story.run_orders([order(story, "PlaceHold", number, {number % 5: 1})])
    about = {"customer": story.customers[1]} if kind == "TransferBooking" else {}
    if again:
        story.run_orders([order(story, kind, 3, **about)])
    story.fetch("BEGIN")
    before = dict(story.fetch(ROWS_READ))
    story.run_orders([order(story, kind, 3, **about)])
    read = {table: rows - before[table] for table, rows in story.fetch(ROWS_READ)}
    story.fetch("COMMIT")
    assert max(read.values()) <= 6, read
