"""Scenario 15 judged by hand: false refusals, failed neighbours, deadlocks, and what cannot be known."""

from told import Log, did

from loadtest.evidence.trial import Record, Trial
from loadtest.scenarios.what_batching_could_break import (
    BY_THE_SUM,
    GUARDED,
    ORDERS,
    PARTIES,
    POISON,
    POISONED,
    SCENARIO,
    TOGETHER,
    UNSORTED,
    judge,
)
from loadtest.system.metrics import samples


def told(arm, fault, operations, log, **facts) -> Record:
    trial = Trial(name="r", arm=arm.name, knobs={"fault": fault}, slot_ids=["hall"], facts=facts)
    return Record(trial=trial, operations=operations, events=log.events)


def only_cell(record):
    (cell,) = judge([record], SCENARIO.plan).cells
    return cell


def party(at_ms, key, **how):
    return did("book", at_ms, key=key, **how)


def refused(at_ms, units, **how):
    return did("book", at_ms, status=409, problem="capacity-exceeded", units=units, **how)


def test_a_party_that_does_not_fit_is_refused_and_one_that_does_is_served():
    log = Log(capacity=4).opened().booked("k1", ("hall", 3))
    operations = [party(1, "k1", units=3), refused(3, 2, key="k2", version=2, remaining=1)]
    cell = only_cell(told(GUARDED, PARTIES, operations, log))
    assert (cell.verdict, cell.measured("accepted"), cell.measured("refused")) == ("valid", 1, 1)


def test_a_party_sent_away_from_places_that_were_left_is_a_false_refusal():
    log = Log(capacity=4).opened().booked("k1", ("hall", 1))
    operations = [party(1, "k1"), refused(3, 2, key="k2", by=2, version=2, remaining=3)]
    cell = only_cell(told(BY_THE_SUM, PARTIES, operations, log))
    assert (cell.verdict, cell.violations) == ("invalid", 1)
    assert "journey 2 was refused 2 units" in cell.smallest_witness.sentence


def test_a_refusal_at_a_version_nobody_knows_leaves_the_question_open():
    log = Log(capacity=4).opened().booked("k1", ("hall", 3))
    operations = [party(1, "k1", units=3), refused(3, 2, key="k2", version=9, remaining=0)]
    assert only_cell(told(GUARDED, PARTIES, operations, log)).verdict == "unknown"


POISONOUS = did("book", 1, by=POISONED, key="poison", status=500, outcome="indeterminate")


def test_a_poisoned_command_that_fails_alone_harms_nobody():
    log = Log().opened().booked("k1")
    cell = only_cell(told(GUARDED, POISON, [POISONOUS, party(1, "k1")], log))
    assert (cell.verdict, cell.measured("commands"), cell.measured("poisoned")) == ("valid", 1, 1)


def test_a_neighbour_who_fails_with_it_is_found():
    log = Log().opened().booked("k1")
    neighbour = did("book", 1, by=5, key="k2", status=500, outcome="indeterminate")
    cell = only_cell(told(TOGETHER, POISON, [POISONOUS, party(1, "k1"), neighbour], log))
    assert (cell.verdict, cell.violations) == ("invalid", 1)
    assert "journey 5" in cell.smallest_witness.sentence


def test_who_finds_no_room_in_the_queue_is_no_neighbour():
    log = Log().opened().booked("k1")
    sent_away = did("book", 1, by=5, key="k2", status=503, problem="queue-full", outcome="failed")
    cell = only_cell(told(GUARDED, POISON, [POISONOUS, party(1, "k1"), sent_away], log))
    served = next(each for each in cell.judgements if each.rule == "neighbours_served")
    assert (served.verdict, served.opportunities) == ("valid", 1)


def test_a_poison_that_is_served_proves_nothing():
    log = Log().opened().booked("k1").booked("poison")
    harmless = party(1, "poison", by=POISONED)
    assert only_cell(told(GUARDED, POISON, [harmless, party(1, "k1")], log)).verdict == "unknown"


def counted(deadlocks):
    return {"+Inf": 20.0, "1.0": 5.0, "8.0": 15.0, "DeadlockDetectedError": float(deadlocks)}


def test_deadlocks_are_counted_by_the_processes_that_met_them():
    log = Log().opened().booked("k1")
    operations = [party(1, "k1")]
    assert only_cell(told(GUARDED, ORDERS, operations, log, counted=counted(0))).verdict == "valid"
    cell = only_cell(told(UNSORTED, ORDERS, operations, log, counted=counted(3)))
    assert (cell.verdict, cell.violations, cell.measured("batches")) == ("invalid", 3, 20)


def test_where_nothing_is_counted_a_stay_that_fails_convicts_and_nobody_at_all_proves_nothing():
    log = Log().opened().booked("k1")
    assert only_cell(told(GUARDED, ORDERS, [party(1, "k1")], log)).verdict == "valid"
    failed = did("book", 1, key="k2", status=500)
    assert only_cell(told(UNSORTED, ORDERS, [failed], log)).verdict == "invalid"
    for problem in ("not-decided", "queue-full"):  # which convicts nobody
        full = did("book", 1, key="k2", status=503, problem=problem)
        assert only_cell(told(UNSORTED, ORDERS, [full], log)).verdict == "unknown"
    assert only_cell(told(GUARDED, ORDERS, [], log)).verdict == "unknown"


def test_how_large_batches_were_is_drawn():
    log = Log().opened().booked("k1")
    record = told(GUARDED, ORDERS, [party(1, "k1")], log, counted=counted(0))
    (figure,) = judge([record], SCENARIO.plan).figures
    assert figure.drawn[0].points == [(1.0, 0.75), (8.0, 0.25)]


def test_metrics_are_told_apart_by_one_label_and_added_up_over_the_others():
    text = """# HELP booking_batch_size Commands.
booking_batch_size_bucket{le="1.0",process="up"} 3.0
booking_batch_size_bucket{le="1.0",process="other"} 2.0
booking_batch_size_sum 7.0
"""
    assert samples(text, label="le") == {
        ("booking_batch_size_bucket", "1.0"): 5.0,
        ("booking_batch_size_sum", ""): 7.0,
    }
