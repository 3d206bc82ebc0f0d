"""The replica's races, each told step by step: what happens with the rule, and what without it.

Truth is a table that a test moves by hand; the replica hears of it as it would from the feed. A
replica lies when what it answers is not what the table held at the position that it answers with.
"""

import random
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from booking.events.messages import SlotState
from projector.queries.standing import Standing
from projector.replica.memory import Replica, Told
from projector.replica.rules import Rules

EPOCH, RESOURCE = uuid4(), uuid4()
BEGIN = datetime(2030, 1, 1, tzinfo=UTC)
SLOTS = [UUID(int=number) for number in range(1, 9)]
SLOT, OTHER, THIRD = SLOTS[:3]


class Table:
    """The read model by hand: each change is a batch, and its message is returned."""

    def __init__(self) -> None:
        self.position, self.generation = 0, 1
        self.versions: dict[UUID, int] = {}
        self.history: dict[int, dict[UUID, int]] = {0: {}}

    def change(self, *slot_ids: UUID) -> dict:
        previous = self.position
        self.position += 1
        for slot_id in slot_ids:
            self.versions[slot_id] = self.versions.get(slot_id, 0) + 1
        self.history[self.position] = dict(self.versions)
        return {
            "now": self.standing(),
            "changes": [Told(slot(slot_id, self.versions[slot_id])) for slot_id in slot_ids],
            "previous": previous,
        }

    def idle(self) -> dict:
        return {"now": self.standing(), "changes": [], "previous": self.position}

    def standing(self) -> Standing:
        return Standing(
            epoch=EPOCH,
            generation=self.generation,
            position=self.position,
            as_of=BEGIN + timedelta(seconds=self.position),
        )

    def read(self, *slot_ids: UUID) -> tuple[Standing, dict]:
        rows = {
            slot_id: (Told(slot(slot_id, self.versions[slot_id])), False)
            if slot_id in self.versions
            else None
            for slot_id in slot_ids
        }
        return self.standing(), rows


def slot(slot_id: UUID, version: int) -> SlotState:
    return SlotState(
        slot_id=slot_id,
        resource_id=RESOURCE,
        starts_at=BEGIN,
        ends_at=BEGIN,
        state="open",
        capacity=100,
        overbooking_units=0,
        held=0,
        confirmed=version,
        remaining=100 - version,
        version=version,
    )


def told_by(replica: Replica, slot_id: UUID) -> tuple[int, int] | None:
    """The version that would be answered, and the position it would be said to be of."""
    held = replica.find(slot_id)
    if held is None or replica.standing is None:
        return None
    if held.version:
        assert msgspec.json.decode(held.json + b"}")["confirmed"] == held.version
    ahead = held.ahead.position if held.ahead is not None else 0
    return held.version, max(replica.standing.position, ahead)


def lies(replica: Replica, table: Table) -> list[UUID]:
    found = []
    for slot_id in SLOTS:
        answer = told_by(replica, slot_id)
        if answer is not None:
            version, position = answer
            if table.history[position].get(slot_id, 0) != version:
                found.append(slot_id)
    return found


def without(**rules: bool) -> Rules:
    return Rules(**rules)


ALL_RULES = Rules()


def listening(table: Table, *, rules: Rules = ALL_RULES, slots_max: int = 100) -> Replica:
    replica = Replica(slots_max=slots_max, rules=rules)
    replica.hear(**table.change(SLOT, OTHER))
    return replica


def filled(replica: Replica, table: Table, *slot_ids: UUID) -> str:
    fill = replica.register(slot_ids)
    outcome = replica.fill(fill, *table.read(*slot_ids))
    replica.forget(fill)
    return outcome


# A change arrives between the reading of the table and the arrival of what was read.


def a_change_overtakes_the_fill(rules: Rules) -> tuple[Replica, Table]:
    table = Table()
    replica = listening(table, rules=rules)
    fill = replica.register([SLOT])
    read = table.read(SLOT)
    replica.hear(**table.change(SLOT))
    assert replica.fill(fill, *read) == "kept"
    replica.forget(fill)
    return replica, table


def test_a_change_that_arrives_while_the_table_is_read_is_merged_into_the_fill():
    replica, table = a_change_overtakes_the_fill(Rules())
    assert told_by(replica, SLOT) == (2, 2)
    assert not lies(replica, table)


@pytest.mark.parametrize("rule", ["merge_changes", "register_first"])
def test_without_merging_or_registering_first_that_change_is_lost(rule):
    replica, table = a_change_overtakes_the_fill(without(**{rule: False}))
    assert told_by(replica, SLOT) == (1, 2)
    assert lies(replica, table) == [SLOT]
    replica.hear(**table.change(OTHER))  # and nothing mends it until the slot is touched again
    assert lies(replica, table) == [SLOT]


# The table was read after a change whose message is still under way.


def the_fill_is_further_than_the_feed(rules: Rules) -> tuple[Replica, Table]:
    table = Table()
    replica = listening(table, rules=rules)
    fill = replica.register([SLOT])
    first, second = table.change(SLOT), table.change(SLOT)
    replica.hear(**first)
    assert replica.fill(fill, *table.read(SLOT)) == "kept"
    replica.forget(fill)
    assert told_by(replica, SLOT) == (3, 3)  # of the position it was read at, not of this node's
    if not rules.newer_only:
        first["previous"], first["now"] = 2, replica.standing  # the message comes late
        replica.hear(first["now"], first["changes"], previous=2)
    replica.hear(**second)
    return replica, table


def test_a_fill_that_is_further_than_the_feed_answers_with_its_own_position():
    replica, table = the_fill_is_further_than_the_feed(Rules())
    assert told_by(replica, SLOT) == (3, 3)
    replica.hear(**table.change(OTHER))
    assert told_by(replica, SLOT) == (3, 4)
    assert not lies(replica, table)


def older_news_after_a_newer_fill(rules: Rules) -> tuple[Replica, Table]:
    table = Table()
    replica = listening(table, rules=rules)
    late = table.change(SLOT)
    table.change(SLOT)
    filled(replica, table, SLOT)
    replica.hear(**late)
    return replica, table


def test_a_message_that_is_older_than_what_was_read_changes_nothing():
    replica, table = older_news_after_a_newer_fill(Rules())
    assert told_by(replica, SLOT) == (3, 3)
    assert not lies(replica, table)


def test_without_comparing_versions_the_older_state_comes_back():
    replica, table = older_news_after_a_newer_fill(without(newer_only=False))
    assert told_by(replica, SLOT) == (2, 2)
    assert table.versions[SLOT] == 3  # what was answered before is taken back


# Everything was dropped while the table was being read.


def dropped_while_reading(rules: Rules) -> tuple[Replica, Table]:
    table = Table()
    replica = listening(table, rules=rules)
    fill = replica.register([SLOT])
    read = table.read(SLOT)
    table.change(SLOT)  # its message is lost
    replica.hear(**table.change(OTHER))  # which shows as a hole: everything is dropped
    fill_outcome = replica.fill(fill, *read)
    replica.forget(fill)
    assert (fill_outcome == "kept") == (not rules.discard_after_drop)
    return replica, table


def test_what_was_read_before_everything_was_dropped_is_not_kept():
    replica, table = dropped_while_reading(Rules())
    assert told_by(replica, SLOT) is None
    assert not lies(replica, table)
    assert filled(replica, table, SLOT) == "kept"
    assert told_by(replica, SLOT) == (2, 3)


def test_without_that_rule_the_hole_lives_on_in_the_fill():
    replica, table = dropped_while_reading(without(discard_after_drop=False))
    assert lies(replica, table) == [SLOT]


# What was read is older than the moment at which changes began to be kept for it.


def read_from_an_older_snapshot(rules: Rules) -> tuple[Replica, Table, str]:
    table = Table()
    replica = listening(table, rules=rules)
    snapshot = table.read(SLOT)  # a connection whose snapshot was taken earlier
    replica.hear(**table.change(SLOT))
    fill = replica.register([SLOT])
    outcome = replica.fill(fill, *snapshot)
    replica.forget(fill)
    return replica, table, outcome


def test_what_was_read_at_a_position_below_the_nodes_is_read_again():
    replica, table, outcome = read_from_an_older_snapshot(Rules())
    assert outcome == "read again"
    assert told_by(replica, SLOT) is None
    assert filled(replica, table, SLOT) == "kept"
    assert told_by(replica, SLOT) == (2, 2)


def test_without_reading_again_the_older_state_is_said_to_be_of_the_nodes_position():
    replica, table, _ = read_from_an_older_snapshot(without(read_again=False))
    assert told_by(replica, SLOT) == (1, 2)
    assert lies(replica, table) == [SLOT]


# A message comes twice, or late.


def a_message_comes_twice(rules: Rules) -> tuple[Replica, Table]:
    table = Table()
    replica = listening(table, rules=rules)
    filled(replica, table, SLOT)
    message = table.change(SLOT)
    replica.hear(**message)
    replica.hear(**table.change(OTHER))
    replica.hear(**message)
    return replica, table


def test_a_message_at_or_below_the_nodes_position_changes_nothing():
    replica, table = a_message_comes_twice(Rules())
    assert replica.standing.position == 3
    assert replica.drops == 1  # the one at the beginning
    assert told_by(replica, SLOT) == (2, 3)
    assert not lies(replica, table)


def test_without_ignoring_it_the_node_goes_back():
    replica, _ = a_message_comes_twice(without(ignore_the_past=False))
    assert replica.standing.position == 2
    assert len(replica) == 0  # and takes the repetition for a hole


# A message is lost.


def a_message_is_lost(rules: Rules) -> tuple[Replica, Table]:
    table = Table()
    replica = listening(table, rules=rules)
    filled(replica, table, SLOT)
    table.change(SLOT)
    replica.hear(**table.change(OTHER))
    return replica, table


def test_a_message_that_does_not_continue_drops_everything():
    replica, table = a_message_is_lost(Rules())
    assert told_by(replica, SLOT) is None
    assert not lies(replica, table)


def test_without_dropping_the_lost_change_is_never_noticed():
    replica, table = a_message_is_lost(without(drop_at_a_hole=False))
    assert lies(replica, table) == [SLOT]


# The rows were replaced as a whole: a rebuild, a repair, an epoch.


def the_rows_are_replaced(rules: Rules) -> tuple[Replica, Table]:
    table = Table()
    replica = listening(table, rules=rules)
    filled(replica, table, SLOT)
    table.versions[SLOT] = 7  # repaired, without an event
    table.history[table.position] = dict(table.versions)
    table.generation += 1
    replica.hear(**table.idle())
    return replica, table


def test_a_new_generation_drops_everything():
    replica, table = the_rows_are_replaced(Rules())
    assert told_by(replica, SLOT) is None
    assert filled(replica, table, SLOT) == "kept"
    assert told_by(replica, SLOT) == (7, 1)


def test_without_that_rule_what_was_repaired_stays_wrong_in_memory():
    replica, table = the_rows_are_replaced(without(drop_with_the_generation=False))
    assert lies(replica, table) == [SLOT]


def test_rows_of_another_generation_are_not_kept_beside_those_of_this_one():
    table = Table()
    replica = listening(table)
    fill = replica.register([SLOT])
    table.generation += 1
    assert replica.fill(fill, *table.read(SLOT)) == "discarded"


def test_of_an_older_epoch_nothing_is_heard():
    table = Table()
    replica = listening(table)
    old = msgspec.structs.replace(table.standing(), epoch=UUID(int=0), position=99)
    assert replica.hear(old, [], previous=98) == "ignored"
    assert replica.standing.position == 1


# The feed falls silent.


def silence(rules: Rules) -> tuple[Replica, Table]:
    table = Table()
    replica = listening(table, rules=rules)
    filled(replica, table, SLOT)
    replica.silent()
    table.change(SLOT)  # nobody says so
    return replica, table


def test_in_silence_everything_is_dropped_and_nothing_is_kept():
    replica, table = silence(Rules())
    assert told_by(replica, SLOT) is None
    assert filled(replica, table, SLOT) == "discarded"


def test_without_dropping_it_goes_on_answering_what_is_no_longer_so():
    replica, table = silence(without(drop_in_silence=False))
    assert told_by(replica, SLOT) == (1, 1)
    assert table.versions[SLOT] == 2


def test_when_the_feed_is_back_slots_are_kept_again():
    replica, table = silence(Rules())
    replica.hear(**table.change(OTHER))
    assert filled(replica, table, SLOT) == "kept"
    assert told_by(replica, SLOT) == (2, 3)
    assert not lies(replica, table)


# Polling: a poll tells everything of the slots it asked for, and nothing of others.


def test_a_poll_moves_the_node_and_brings_what_is_newer():
    table = Table()
    replica = listening(table)
    filled(replica, table, SLOT)
    poll = replica.poll(slots_max=100)
    table.change(SLOT)
    table.change(SLOT)
    replica.hear(table.standing(), [Told(slot(SLOT, 3))], poll=poll)
    assert told_by(replica, SLOT) == (3, 3)


def test_a_slot_read_while_a_poll_was_under_way_is_let_go_when_the_poll_is_further():
    table = Table()
    replica = listening(table)
    poll = replica.poll(slots_max=100)
    filled(replica, table, SLOT)
    table.change(SLOT)
    replica.hear(table.standing(), [], poll=poll)  # it did not ask for the slot
    assert told_by(replica, SLOT) is None
    assert not lies(replica, table)


def test_a_fill_that_began_before_a_poll_ended_must_not_be_older_than_it():
    table = Table()
    replica = listening(table)
    poll = replica.poll(slots_max=100)
    fill = replica.register([SLOT])
    read = table.read(SLOT)
    table.change(SLOT)
    replica.hear(table.standing(), [], poll=poll)
    assert replica.fill(fill, *read) == "read again"
    assert replica.fill(fill, *table.read(SLOT)) == "kept"
    assert not lies(replica, table)


def test_a_poll_asks_for_no_more_slots_than_it_can():
    table = Table()
    replica = listening(table)
    filled(replica, table, SLOT, OTHER, THIRD)
    assert list(replica.poll(slots_max=2).versions) == [OTHER, THIRD]
    assert told_by(replica, SLOT) is None  # what is not asked for must not be answered


def test_a_poll_asks_anew_for_what_was_read_ahead_of_it():
    table = Table()
    replica = listening(table)
    filled(replica, table, OTHER)
    table.change(SLOT)  # not heard, and so not told to anybody
    filled(replica, table, SLOT)
    poll = replica.poll(slots_max=100)
    assert poll.versions == {OTHER: 1, SLOT: 0}
    replica.hear(table.standing(), [Told(slot(SLOT, 2))], poll=poll)
    assert told_by(replica, SLOT) == (2, 2)
    assert replica.poll(slots_max=100).versions == {OTHER: 1, SLOT: 2}


def test_what_is_read_between_polls_does_not_gather_while_nothing_changes():
    table = Table()
    replica = listening(table)
    for _ in range(50):
        poll = replica.poll(slots_max=100)
        filled(replica, table, SLOT, OTHER)
        replica.hear(table.standing(), [], poll=poll)
    assert len(replica._kept_lately) == 2  # of the last round


# It is bounded, and a slot that does not exist is known, too.


def test_the_slot_not_read_for_longest_goes_first():
    table = Table()
    replica = listening(table, slots_max=2)
    filled(replica, table, SLOT, OTHER)
    replica.find(SLOT)
    filled(replica, table, THIRD)
    assert len(replica) == 2
    assert told_by(replica, OTHER) is None
    assert told_by(replica, SLOT) is not None
    assert replica.evicted == 1


def test_that_there_is_no_such_slot_is_known_until_there_is_one():
    table = Table()
    replica = listening(table)
    filled(replica, table, THIRD)
    assert told_by(replica, THIRD) == (0, 1)
    replica.hear(**table.change(THIRD))
    assert told_by(replica, THIRD) == (1, 2)


def test_a_suspect_slot_stays_so_until_the_generation_says_otherwise():
    table = Table()
    replica = listening(table)
    fill = replica.register([SLOT])
    at, rows = table.read(SLOT)
    replica.fill(fill, at, {SLOT: (rows[SLOT][0], True)})
    replica.forget(fill)
    replica.hear(**table.change(SLOT))
    assert replica.find(SLOT).suspect


class Story:
    """Any order of changes, losses, repetitions, fills and polls, told by a list of numbers."""

    def __init__(self, rules: Rules, choices: list[int]) -> None:
        self.table, self.replica = Table(), Replica(slots_max=5, rules=rules)
        self.messages, self.fills, self.polls = [], [], []
        self.choices = iter(choices)
        self.polled = False

    def lies(self) -> list[UUID]:
        for choice in self.choices:
            slot_id = SLOTS[choice % len(SLOTS)]
            self.step(choice // len(SLOTS), slot_id)
            if found := lies(self.replica, self.table):
                return found
        return []

    def step(self, what: int, slot_id: UUID) -> None:
        table, replica = self.table, self.replica
        match what:
            case 0 | 1 | 2:
                self.messages.append(table.change(slot_id))
            case 3 | 4 | 5 | 6 if self.messages and not self.polled:
                replica.hear(**self.messages.pop(0))
            case 7 if self.messages:
                self.messages.pop(0)  # lost
            case 8 if self.messages and not self.polled:
                replica.hear(**self.messages[0])  # it will come again
            case 9:
                self.fills.append([replica.register([slot_id]), None])
            case 10 | 11 if self.fills:
                fill = self.fills[int(slot_id) % len(self.fills)]
                if fill[1] is None:
                    fill[1] = table.read(*fill[0].slot_ids)
                elif replica.fill(fill[0], *fill[1]) == "read again":
                    fill[1] = None
                else:
                    self.fills.remove(fill)
                    replica.forget(fill[0])
            case 12 if self.polled or not replica.listening:
                self.polled = True
                poll = replica.poll(slots_max=100)
                news = [
                    Told(slot(known, table.versions[known]))
                    for known, version in poll.versions.items()
                    if table.versions.get(known, 0) > version
                ]
                self.polls.append((table.standing(), news, poll))
            case 13 if self.polls:
                now, news, poll = self.polls.pop(0)
                replica.hear(now, news, poll=poll)
            case 14:
                replica.silent()
            case _:
                pass


CHOICES = st.lists(st.integers(0, 15 * len(SLOTS) - 1), max_size=60)


@settings(max_examples=300, deadline=None)
@given(CHOICES)
def test_in_no_story_does_it_tell_what_was_not_so_at_the_position_it_tells(choices):
    assert not Story(Rules(), choices).lies()


@pytest.mark.parametrize(
    "rule",
    [
        "register_first",
        "merge_changes",
        "newer_only",
        "discard_after_drop",
        "read_again",
        "drop_at_a_hole",
    ],
)
def test_without_any_of_its_rules_the_stories_find_the_lie(rule):
    chance = random.Random(7)  # noqa: S311  the same stories every time
    stories = ([chance.randrange(15 * len(SLOTS)) for _ in range(80)] for _ in range(6000))
    assert any(Story(without(**{rule: False}), story).lies() for story in stories)
