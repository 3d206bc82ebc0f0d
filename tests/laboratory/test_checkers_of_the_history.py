"""Checkers of what people did and saw, in real time: each valid, invalid, undecidable, and with one anomaly planted in a clean history."""

import msgspec
import pytest
from msgspec.structs import replace
from told import HALL, Log, did, line

from loadtest.checkers.honest_reads import honest_reads, stalenesses
from loadtest.checkers.honest_refusals import honest_refusals
from loadtest.checkers.monotonic_reads import monotonic_reads
from loadtest.checkers.no_lost_update import no_lost_update
from loadtest.checkers.read_your_writes import read_your_writes
from loadtest.checkers.real_time_order import real_time_order
from loadtest.checkers.writes_follow_reads import writes_follow_reads
from loadtest.driver import Answer, Exchange
from loadtest.history import OperationLine
from loadtest.workloads.answers import told_of


def verdicts(judgement):
    return judgement.verdict, judgement.violations


def sold(units: int, *, capacity: int = 10):
    """A hall of which single units are sold every 10 ms, version 2 at 10 ms: the log, and who did it."""
    log = Log(capacity=capacity).opened()
    operations = []
    for n in range(units):
        log.booked(f"k{n}")
        operations.append(
            did("book", 10 * (n + 1), 10 * (n + 1) + 2, key=f"k{n}", by=n, version=n + 2)
        )
    return log, operations


class TestRealTimeOrder:
    def test_versions_in_the_order_of_time_are_valid_also_where_requests_overlap(self):
        log = Log().opened().booked("k2").booked("k1")
        overlapping = [
            did("book", 1, 9, key="k1", version=3),
            did("book", 2, 8, key="k2", version=2),
        ]
        assert verdicts(real_time_order(overlapping, log.events)) == ("valid", 0)

    def test_who_began_after_a_later_version_was_answered_is_a_witness(self):
        log = Log().opened().booked("k2").booked("k1")
        turned = [did("book", 1, 2, key="k1", version=3), did("book", 5, 6, key="k2", version=2)]
        judgement = real_time_order(turned, log.events)
        assert verdicts(judgement) == ("invalid", 1)
        assert (
            "3.000 ms after journey 1 had been answered version 3"
            in judgement.witnesses[0].sentence
        )

    def test_one_command_alone_decides_nothing(self):
        log = Log().opened().booked("k1")
        one = [did("book", 1, key="k1", version=2)]
        assert real_time_order(one, log.events).verdict == "unknown"

    def test_a_command_that_changed_nothing_answers_an_old_version_and_turns_nothing(self):
        log = Log().opened().booked("k1").booked("k2")
        operations = [did("book", 10 * n, key=f"k{n}", version=n + 1) for n in (1, 2)]
        operations.append(did("confirm", 90, key="again", version=2))
        assert verdicts(real_time_order(operations, log.events)) == ("valid", 0)

    @pytest.mark.parametrize("planted", [2, 50, 97])
    def test_one_turned_pair_planted_in_a_clean_history_is_found_and_nothing_else(self, planted):
        log, operations = sold(100, capacity=100)
        assert real_time_order(operations, log.events).verdict == "valid"
        one, other = operations[planted], operations[planted + 1]
        # Decided in the wrong order: the log says so, and the answers with it.
        operations[planted] = replace(one, version=other.version, key=other.key)
        operations[planted + 1] = replace(other, version=one.version, key=one.key)
        judgement = real_time_order(operations, log.events)
        assert verdicts(judgement) == ("invalid", 1)
        assert judgement.witnesses[0].facts["late"] == other.journey


class TestHonestRefusals:
    def test_a_refusal_by_the_version_that_was_current_and_short_is_valid(self):
        log, operations = sold(2, capacity=2)
        refused = did("book", 40, status=409, version=3, remaining=0)
        assert verdicts(honest_refusals([*operations, refused], log.events)) == ("valid", 0)

    def test_who_is_refused_what_was_there_is_a_witness(self):
        log, operations = sold(2, capacity=5)
        refused = did("book", 40, status=409, version=3, remaining=3, units=2, by=8)
        judgement = honest_refusals([*operations, refused], log.events)
        assert verdicts(judgement) == ("invalid", 1)
        assert (
            "refused 2 units of slot hall at version 3, where 3 were left"
            in judgement.witnesses[0].sentence
        )

    def test_a_refusal_by_a_version_that_was_over_before_it_asked_is_invalid(self):
        log, operations = sold(2, capacity=2)
        log.then("cancelled", "b k0", key="c")
        operations.append(did("cancel", 30, 31, key="c", version=4, by=5))
        stale = did("book", 40, status=409, version=3, remaining=0)
        judgement = honest_refusals([*operations, stale], log.events)
        assert verdicts(judgement) == ("invalid", 1)
        assert "over before it asked" in judgement.witnesses[0].sentence
        at_once = did("book", 30.5, status=409, version=3, remaining=0)
        assert honest_refusals([*operations, at_once], log.events).verdict == "valid"

    def test_a_refusal_by_a_version_that_was_not_there_yet_is_invalid(self):
        log, operations = sold(2, capacity=2)
        clairvoyant = did("book", 5, 7, status=409, version=3, remaining=0)
        assert verdicts(honest_refusals([*operations, clairvoyant], log.events)) == ("invalid", 1)

    def test_of_several_lines_those_that_are_named_are_judged(self):
        log, operations = sold(2, capacity=2)
        lines = [line("elsewhere", 1), line(HALL, 1, remaining=0, version=3)]
        refused = did("book", 40, status=409, slot=None, lines=lines)
        assert verdicts(honest_refusals([*operations, refused], log.events)) == ("valid", 0)

    def test_a_version_that_is_not_in_the_log_decides_nothing(self):
        log, operations = sold(2, capacity=2)
        refused = did("book", 40, status=409, version=9, remaining=0)
        assert honest_refusals([*operations, refused], log.events).verdict == "unknown"

    def test_one_false_sold_out_planted_among_honest_refusals_is_found(self):
        log, operations = sold(100, capacity=100)
        honest = [
            did("book", 2000 + n, status=409, version=101, remaining=0, by=n) for n in range(50)
        ]
        assert honest_refusals([*operations, *honest], log.events).verdict == "valid"
        false = did("book", 505, 515, status=409, version=51, remaining=0, by=777)
        judgement = honest_refusals([*operations, *honest, false], log.events)
        assert verdicts(judgement) == ("invalid", 1)
        assert judgement.witnesses[0].facts["journey"] == 777


class TestHonestReads:
    def test_an_old_state_that_was_true_is_valid_where_nothing_was_promised(self):
        log, operations = sold(5)
        look = did("look", 900, version=2, remaining=9)
        assert verdicts(honest_reads([*operations, look], log.events)) == ("valid", 0)

    def test_a_number_that_never_was_is_invalid(self):
        log, operations = sold(5)
        look = did("look", 900, version=2, remaining=8, by=6)
        judgement = honest_reads([*operations, look], log.events)
        assert verdicts(judgement) == ("invalid", 1)
        assert "shown 8 units left at version 2" in judgement.witnesses[0].sentence

    def test_who_asked_for_a_second_and_got_two_is_a_witness(self):
        log, operations = sold(5)
        late = did("look", 2100, version=2, remaining=9, condition="max-age=1")
        judgement = honest_reads([*operations, late], log.events)
        assert verdicts(judgement) == ("invalid", 1)
        assert judgement.witnesses[0].facts["behind"] == 4
        in_time = did("look", 1000, version=2, remaining=9, condition="max-age=1")
        assert honest_reads([*operations, in_time], log.events).verdict == "valid"

    def test_a_strong_read_may_not_miss_what_was_answered_before_it_began(self):
        log, operations = sold(5)
        for at_ms, verdict in ((23, "invalid"), (21, "valid")):
            look = did("look", at_ms, 40, version=2, remaining=9, condition="strong")
            assert honest_reads([*operations, look], log.events).verdict == verdict

    def test_a_version_that_is_not_in_the_log_decides_nothing(self):
        log, operations = sold(5)
        assert (
            honest_reads([*operations, did("look", 90, version=9, remaining=2)], log.events).verdict
            == "unknown"
        )

    def test_one_wrong_number_planted_among_true_ones_is_found(self):
        log, operations = sold(100, capacity=100)
        looks = [
            did("look", 10 * n + 5, version=n + 1, remaining=100 - n, by=n) for n in range(1, 90)
        ]
        assert honest_reads([*operations, *looks], log.events).verdict == "valid"
        looks[44] = replace(looks[44], remaining=56)
        judgement = honest_reads([*operations, *looks], log.events)
        assert verdicts(judgement) == ("invalid", 1)
        assert judgement.witnesses[0].facts["journey"] == 45

    def test_staleness_is_counted_from_the_end_that_favours_the_system(self):
        log, operations = sold(5)
        [staleness] = stalenesses(
            [*operations, did("look", 45, version=2, remaining=9)], log.events
        )
        # Versions 3, 4 had returned at 22 and 32 ms, version 5 (42 ms) too.
        assert (staleness.versions_behind, staleness.stale_ms) == (3, 23.0)


class TestReadYourWrites:
    def test_who_sees_their_own_booking_is_served_right(self):
        journey = [did("book", 1, version=4), did("look", 5, version=4), did("look", 9, version=6)]
        assert verdicts(read_your_writes(journey, [])) == ("valid", 0)

    def test_who_does_not_is_a_witness(self):
        journey = [did("book", 1, version=4), did("look", 5, version=3)]
        judgement = read_your_writes(journey, [])
        assert verdicts(judgement) == ("invalid", 1)
        assert "3.0 ms later was shown version 3" in judgement.witnesses[0].sentence

    def test_a_booking_that_cannot_be_found_by_who_made_it_is_a_witness(self):
        made = did("book", 1, booking_id="b", booking_version=1)
        missed = did("read_booking", 5, status=404, slot=None, booking_id="b")
        judgement = read_your_writes([made, missed], [])
        assert verdicts(judgement) == ("invalid", 1)
        assert "was shown nothing" in judgement.witnesses[0].sentence

    @pytest.mark.parametrize(
        "later",
        [
            did("look", 1.5, version=3),  # began before the answer
            did("look", 5, status=412, version=None),  # an honest "not yet"
            did("look", 5, version=3, by=2),  # somebody else
        ],
    )
    def test_what_proves_nothing_decides_nothing(self, later):
        assert read_your_writes([did("book", 1, version=4), later], []).verdict == "unknown"

    def test_one_missed_write_planted_among_many_journeys_is_found(self):
        journeys = []
        for n in range(100):
            journeys += [did("book", 10 * n, by=n, version=n + 2)]
            journeys += [did("look", 10 * n + 5, by=n, version=n + 2 + n % 3)]
        assert read_your_writes(journeys, []).verdict == "valid"
        journeys[41] = replace(journeys[41], version=21)
        judgement = read_your_writes(journeys, [])
        assert verdicts(judgement) == ("invalid", 1)
        assert judgement.witnesses[0].facts["journey"] == 20


class TestMonotonicReads:
    def test_versions_that_only_grow_are_valid(self):
        journey = [did("look", n, n + 0.5, version=v) for n, v in enumerate((3, 3, 5, 9))]
        assert verdicts(monotonic_reads(journey, [])) == ("valid", 0)

    def test_time_that_runs_backwards_is_a_witness_and_says_who_showed_it(self):
        journey = [did("look", 1, version=5, node="a"), did("look", 4, version=4, node="b")]
        judgement = monotonic_reads(journey, [])
        assert verdicts(judgement) == ("invalid", 1)
        assert "by a and 2.0 ms later version 4 by b" in judgement.witnesses[0].sentence

    def test_a_list_that_names_no_version_is_judged_by_its_position(self):
        lists = [did("overview", n, slot=None, position=p) for n, p in ((1, 9), (4, 8))]
        assert verdicts(monotonic_reads(lists, [])) == ("invalid", 1)

    def test_looks_that_overlap_decide_nothing(self):
        overlapping = [did("look", 1, 9, version=5), did("look", 4, 6, version=4)]
        assert monotonic_reads(overlapping, []).verdict == "unknown"

    def test_one_step_back_planted_in_a_long_journey_is_found(self):
        journey = [did("look", 2 * n, version=n + 1) for n in range(200)]
        journey[120] = replace(journey[120], version=119)
        assert verdicts(monotonic_reads(journey, [])) == ("invalid", 1)


class TestWritesFollowReads:
    def test_a_write_after_what_was_seen_is_valid(self):
        journey = [did("look", 1, version=5), did("book", 4, version=9)]
        assert verdicts(writes_follow_reads(journey, [])) == ("valid", 0)

    def test_a_write_before_what_was_seen_is_a_witness(self):
        journey = [did("look", 1, version=5), did("book", 4, version=3)]
        judgement = writes_follow_reads(journey, [])
        assert verdicts(judgement) == ("invalid", 1)
        assert (
            "had been shown version 5 of slot hall; its book made version 3"
            in judgement.witnesses[0].sentence
        )

    def test_a_replay_is_of_earlier_and_decides_nothing(self):
        journey = [did("look", 1, version=5), did("book", 4, version=3, replayed=True)]
        assert writes_follow_reads(journey, []).verdict == "unknown"

    def test_one_planted_among_many_journeys_is_found(self):
        journeys = []
        for n in range(100):
            journeys += [did("look", 10 * n, by=n, version=n + 2)]
            journeys += [did("book", 10 * n + 5, by=n, version=n + 3)]
        assert writes_follow_reads(journeys, []).verdict == "valid"
        journeys[61] = replace(journeys[61], version=7)
        judgement = writes_follow_reads(journeys, [])
        assert verdicts(judgement) == ("invalid", 1)
        assert judgement.witnesses[0].facts["journey"] == 30


class TestNoLostUpdate:
    def test_changes_that_build_on_each_other_are_valid(self):
        edits = [did("resize", 10 * v, by=v, if_match=v) for v in (1, 2, 3)]
        assert verdicts(no_lost_update(edits, [])) == ("valid", 0)

    def test_two_successes_on_the_same_version_are_a_lost_update(self):
        edits = [did("look", n, by=n, version=1) for n in (1, 2)]
        edits += [did("resize", 5 + n, by=n) for n in (1, 2)]
        judgement = no_lost_update(edits, [])
        assert verdicts(judgement) == ("invalid", 1)
        assert "journeys 1 and 2 both changed version 1" in judgement.witnesses[0].sentence

    def test_an_edit_nobody_knows_the_end_of_decides_nothing(self):
        edits = [
            did("resize", 1, if_match=1),
            did("resize", 5, if_match=2, status=0, outcome="indeterminate"),
        ]
        assert no_lost_update(edits, []).verdict == "unknown"

    def test_one_lost_update_planted_in_a_chain_is_found(self):
        edits = [did("resize", 10 * v, by=v, if_match=v) for v in range(1, 100)]
        assert no_lost_update(edits, []).verdict == "valid"
        edits.append(did("resize", 505, by=500, if_match=50))
        judgement = no_lost_update(edits, [])
        assert verdicts(judgement) == ("invalid", 1)
        assert judgement.witnesses[0].facts["parent"] == 50


def test_who_moves_a_booking_is_refused_by_the_difference_to_what_it_has():
    def answer(requested):
        line = {"slot_id": "s", "requested": requested, "remaining": 0, "version": 2}
        return Answer(409, [], msgspec.json.encode({"lines": [line]}))

    def short_of(exchange):
        [told] = told_of("reschedule", exchange, asked=[OperationLine(slot_id="s", units=2)])[
            "lines"
        ]
        return told.units

    assert short_of(Exchange("failed", answer(1), 0, 0)) == 1
    assert (
        short_of(Exchange("failed", answer(5), 0, 0)) == 2
    )  # it cannot need more than it asks for
    assert short_of(Exchange("indeterminate", None, 0, 0)) == 2
