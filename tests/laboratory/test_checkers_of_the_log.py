"""Checkers that hold the log against itself and against the answers: each valid, invalid, undecidable, and with one anomaly planted in a clean history."""

import random
from datetime import timedelta

import pytest
from msgspec.structs import replace
from told import HALL, Log, did

from loadtest.checkers.conservation import conservation
from loadtest.checkers.dense_numbers import dense_numbers
from loadtest.checkers.integrity import integrity
from loadtest.checkers.no_drift import no_drift
from loadtest.checkers.one_booking_per_intent import one_booking_per_intent
from loadtest.checkers.ownership import ownership
from loadtest.checkers.whole_stays import whole_stays
from loadtest.history import FinalSlot
from loadtest.soak import CHECKERS


def verdicts(judgement):
    return judgement.verdict, judgement.violations


# A long clean history to plant anomalies in: holds that are confirmed, released, expired, and bookings that are cancelled.
def clean(bookings: int = 60):
    rng = random.Random(5)  # noqa: S311 -- seeded
    log = Log(capacity=1000).opened("hall", "foyer")
    operations = []
    for n in range(bookings):
        held = rng.random() < 0.6
        slots = [("hall", 1), ("foyer", 2)] if rng.random() < 0.4 else [(HALL, rng.randint(1, 3))]
        log.booked(f"k{n}", *slots, booking=f"b{n}", held=held)
        operations.append(did("hold" if held else "book", n, key=f"k{n}", by=n))
        if rng.random() < 0.7:
            ends = ("confirmed", "released", "expired") if held else ("cancelled",)
            log.then(rng.choice(ends), f"b{n}")
    return log, operations


def changed(events, index, **slot_members):
    event = events[index]
    slot = replace(event.slots[0], **slot_members)
    return [*events[:index], replace(event, slots=[slot, *event.slots[1:]]), *events[index + 1 :]]


def recorded_as(events, index, *, as_position):
    """The events, one of them recorded when the one at another position was (positions are a millisecond apart)."""
    event = events[index]
    earlier = timedelta(milliseconds=event.position - as_position)
    event = replace(event, recorded_at=event.recorded_at - earlier)
    return [*events[:index], event, *events[index + 1 :]]


@pytest.mark.parametrize("checker", [*CHECKERS, whole_stays, one_booking_per_intent])
def test_a_log_that_nobody_may_read_convicts_nobody(checker):
    _, operations = clean()
    assert checker(operations, []).verdict == "unknown"


class TestIntegrity:
    def test_a_log_that_adds_up_and_was_answered_so_is_valid(self):
        log = Log().opened().booked("k1").booked("k2")
        operations = [did("book", 1, key="k1"), did("book", 3, key="k2")]
        assert verdicts(integrity(operations, log.events)) == ("valid", 0)

    def test_a_booking_that_was_answered_and_is_not_in_the_log_is_invalid(self):
        log = Log().opened().booked("k1")
        operations = [did("book", 1, key="k1"), did("book", 3, key="k2", by=7)]
        judgement = integrity(operations, log.events)
        assert verdicts(judgement) == ("invalid", 1)
        assert "journey 7 was answered 201 for booking k2" in judgement.witnesses[0].sentence

    def test_a_booking_that_was_refused_and_is_in_the_log_is_invalid(self):
        log = Log().opened().booked("k1")
        assert verdicts(integrity([did("book", 1, key="k1", status=409)], log.events)) == (
            "invalid",
            1,
        )

    def test_a_write_that_timed_out_may_have_happened_or_not(self):
        log = Log().opened().booked("k1")
        timed_out = [did("book", 1, key="k1", status=0), did("book", 2, key="k2", status=0)]
        assert verdicts(integrity(timed_out, log.events)) == ("valid", 0)

    def test_a_booking_of_nobody_we_know_decides_nothing(self):
        log = Log().opened().booked("k1").booked("somebody else's")
        assert integrity([did("book", 1, key="k1")], log.events).verdict == "unknown"

    def test_events_of_one_transaction_are_of_one_moment(self):
        log = Log().opened().booked("k1").booked("k2")
        operations = [did("book", 1, key="k1"), did("book", 3, key="k2")]
        together = recorded_as(log.events, 2, as_position=2)
        assert verdicts(integrity(operations, together)) == ("valid", 0)

    def test_an_event_recorded_before_the_one_before_it_is_invalid(self):
        log = Log().opened().booked("k1").booked("k2")
        operations = [did("book", 1, key="k1"), did("book", 3, key="k2")]
        judgement = integrity(operations, recorded_as(log.events, 2, as_position=0))
        assert verdicts(judgement) == ("invalid", 1)
        assert judgement.witnesses[0].facts["position"] == log.events[2].position

    def test_one_event_alone_has_no_order_of_moments(self):
        log = Log().opened()
        assert verdicts(integrity([], recorded_as(log.events, 0, as_position=0))) == ("valid", 0)

    @pytest.mark.parametrize("planted_at", [3, 40, 80])
    def test_one_step_back_in_time_planted_in_a_clean_log_is_found_and_nothing_else(
        self, planted_at
    ):
        log, operations = clean()
        planted = recorded_as(log.events, planted_at, as_position=planted_at - 2)
        judgement = integrity(operations, planted)
        assert verdicts(judgement) == ("invalid", 1)
        assert judgement.witnesses[0].facts["position"] == log.events[planted_at].position

    @pytest.mark.parametrize("planted_at", [3, 40, 80])
    def test_one_wrong_counter_planted_in_a_clean_log_is_found_and_nothing_else(self, planted_at):
        log, operations = clean()
        assert integrity(operations, log.events).verdict == "valid"
        slot = log.events[planted_at].slots[0]
        planted = changed(log.events, planted_at, confirmed=slot.confirmed + 1)
        judgement = integrity(operations, planted)
        assert verdicts(judgement) == ("invalid", 1)
        assert judgement.witnesses[0].facts["version"] == slot.version


class TestConservation:
    def test_counters_that_are_the_sums_of_bookings_are_valid(self):
        log = (
            Log()
            .opened()
            .booked("k1", held=True, booking="b")
            .then("confirmed", "b")
            .then("cancelled", "b")
        )
        assert verdicts(conservation([], log.events)) == ("valid", 0)

    def test_a_stay_without_one_of_its_nights_is_invalid(self):
        log = Log().opened("monday", "tuesday")
        log.booked("k1", ("monday", 1), ("tuesday", 1), leaving_out="tuesday")
        judgement = conservation([], log.events)
        assert judgement.verdict == "invalid"
        assert "slot tuesday and took nothing there" in judgement.witnesses[0].sentence

    def test_a_booking_whose_beginning_is_not_in_the_log_decides_nothing(self):
        log = Log().opened().booked("k1", held=True, booking="b").then("released", "b")
        assert conservation([], [log.events[0], log.events[2]]).verdict == "unknown"

    def test_units_that_were_not_given_back_are_found_where_it_happened(self):
        log, _ = clean()
        assert conservation([], log.events).verdict == "valid"
        at = next(
            i for i, e in enumerate(log.events) if e.type == "HoldReleased" and len(e.slots) == 1
        )
        slot = log.events[at].slots[0]
        judgement = conservation([], changed(log.events, at, held=slot.held + 1))
        assert verdicts(judgement) == ("invalid", 1)
        assert judgement.witnesses[0].facts["position"] == log.events[at].position


class TestOwnership:
    def test_a_hold_that_is_confirmed_before_it_ends_is_valid(self):
        log = Log().opened().booked("k1", held=True, booking="b").then("confirmed", "b")
        confirmed = did("confirm", 5, booking_id="b")
        assert verdicts(ownership([confirmed], log.events)) == ("valid", 0)

    def test_who_comes_back_after_the_units_were_given_away_is_paid_but_resold(self):
        log = Log().opened().booked("k1", held=True, booking="b").then("expired", "b")
        log.booked("k2").then("confirmed", "b")
        judgement = ownership([], log.events)
        assert verdicts(judgement) == ("invalid", 1)
        assert "was expired at position 3" in judgement.witnesses[0].sentence

    def test_who_was_told_that_they_own_what_they_do_not_is_a_witness(self):
        log = Log().opened().booked("k1", held=True, booking="b").then("expired", "b")
        judgement = ownership([did("confirm", 5, booking_id="b", by=9)], log.events)
        assert verdicts(judgement) == ("invalid", 1)
        assert "journey 9 was told" in judgement.witnesses[0].sentence

    def test_a_confirmation_of_a_booking_that_is_not_in_the_log_decides_nothing(self):
        log = Log().opened().booked("k1", held=True, booking="b").then("confirmed", "b")
        assert (
            ownership([did("confirm", 5, booking_id="elsewhere")], log.events).verdict == "unknown"
        )

    def test_one_return_planted_in_a_clean_log_is_found_and_nothing_else(self):
        log, operations = clean()
        assert ownership(operations, log.events).verdict == "valid"
        ended = next(e.booking_id for e in log.events if e.type == "HoldExpired")
        log.then("confirmed", ended)
        judgement = ownership(operations, log.events)
        assert verdicts(judgement) == ("invalid", 1)
        assert judgement.witnesses[0].facts["booking_id"] == ended


class TestDenseNumbers:
    def test_numbers_without_holes_are_valid(self):
        log, _ = clean()
        assert verdicts(dense_numbers([], log.events)) == ("valid", 0)

    def test_a_skipped_event_is_invalid(self):
        log = Log().opened().booked("k1").booked("k2")
        judgement = dense_numbers([], [log.events[0], log.events[2]])
        assert judgement.verdict == "invalid"
        assert "after 1" in judgement.witnesses[0].sentence

    def test_an_empty_log_decides_nothing(self):
        assert dense_numbers([], []).verdict == "unknown"

    def test_a_log_read_from_the_middle_may_begin_anywhere(self):
        log, _ = clean()
        assert verdicts(dense_numbers([], log.events[20:])) == ("valid", 0)

    @pytest.mark.parametrize("planted_at", [5, 50])
    def test_one_version_given_twice_is_found_and_nothing_else(self, planted_at):
        log, _ = clean()
        twice = log.events[planted_at].slots[0].version - 1
        judgement = dense_numbers([], changed(log.events, planted_at, version=twice))
        # The repetition, and the jump back to the true count after it.
        assert judgement.violations == 2
        assert judgement.witnesses[0].facts["position"] == log.events[planted_at].position


class TestNoDrift:
    @staticmethod
    def final(log, slot=HALL, **members):
        newest = [s for e in log.events for s in e.slots if s.slot_id == slot][-1]
        names = (
            "slot_id",
            "version",
            "capacity",
            "overbooking_units",
            "held",
            "confirmed",
            "remaining",
        )
        return FinalSlot(**({name: getattr(newest, name) for name in names} | members))

    def test_a_view_that_ends_as_the_log_is_valid(self):
        log, _ = clean()
        finals = [self.final(log), self.final(log, "foyer")]
        assert verdicts(no_drift(log.events, finals)) == ("valid", 0)

    def test_one_count_that_drifted_is_found_and_nothing_else(self):
        log, _ = clean()
        right = self.final(log)
        finals = [replace(right, confirmed=right.confirmed + 1), self.final(log, "foyer")]
        judgement = no_drift(log.events, finals)
        assert verdicts(judgement) == ("invalid", 1)
        assert judgement.witnesses[0].facts["member"] == "confirmed"

    def test_a_slot_the_log_does_not_know_decides_nothing(self):
        log = Log().opened()
        elsewhere = replace(self.final(log), slot_id="elsewhere")
        assert no_drift(log.events, [elsewhere]).verdict == "unknown"


class TestOneBookingPerIntent:
    def test_a_wish_that_was_repeated_and_granted_once_is_valid(self):
        log = Log().opened().booked("k1")
        tries = [
            did("book", 1, key="k1", intent="i", status=0),
            did("book", 5, key="k1", intent="i", replayed=True, digest="aa"),
        ]
        assert verdicts(one_booking_per_intent(tries, log.events)) == ("valid", 0)

    def test_a_wish_granted_twice_is_invalid(self):
        log = Log().opened().booked("k1").booked("k2")
        tries = [
            did("book", 1, key="k1", intent="i", status=0),
            did("book", 5, key="k2", intent="i"),
        ]
        judgement = one_booking_per_intent(tries, log.events)
        assert verdicts(judgement) == ("invalid", 1)
        assert "tried 2 times and has 2" in judgement.witnesses[0].sentence

    def test_a_repetition_that_is_answered_differently_is_invalid(self):
        log = Log().opened().booked("k1")
        tries = [did("book", n, key="k1", intent="i", digest=d) for n, d in ((1, "aa"), (5, "ab"))]
        assert verdicts(one_booking_per_intent(tries, log.events)) == ("invalid", 1)

    def test_tries_without_keys_decide_nothing(self):
        log = Log().opened().booked("server's own")
        tries = [did("book", n, intent="i", status=0) for n in (1, 5)]
        assert one_booking_per_intent(tries, log.events).verdict == "unknown"

    def test_one_double_planted_in_a_clean_history_is_found_and_nothing_else(self):
        log = Log(capacity=1000).opened()
        operations = []
        for n in range(50):
            log.booked(f"k{n}")
            operations += [
                did("book", 10 * n, key=f"k{n}", intent=f"i{n}", by=n, status=0),
                did("book", 10 * n + 5, key=f"k{n}", intent=f"i{n}", by=n),
            ]
        assert one_booking_per_intent(operations, log.events).verdict == "valid"
        log.booked("another key")
        planted = [*operations, did("book", 333, key="another key", intent="i20", by=20)]
        judgement = one_booking_per_intent(planted, log.events)
        assert verdicts(judgement) == ("invalid", 1)
        assert judgement.witnesses[0].facts["intent"] == "i20"
