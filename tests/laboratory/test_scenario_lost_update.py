"""Scenario 4 judged by hand: who overwrote whom, what is lost, and what cannot be known."""

from told import did

from loadtest.evidence.trial import Record, Trial
from loadtest.scenarios.lost_update import SCENARIO, WITH, WITHOUT, judge


def edits(arm, operations, *, capacity: int) -> Record:
    final = {
        "slot_id": "hall",
        "version": 9,
        "capacity": capacity,
        "overbooking_units": 0,
        "held": 0,
        "confirmed": 0,
        "remaining": capacity,
    }
    trial = Trial(
        name="r",
        arm=arm.name,
        knobs={"think ms": 20},
        slot_ids=["hall"],
        log=None,
        began_ns=0,
        ended_ns=10**9,
        facts={"final": final},
        complete=True,
    )
    return Record(trial=trial, operations=operations, events=[])


def edit(by: int, at_ms: float, *, read: int, **how):
    return [
        did("look", at_ms, by=by, version=read, capacity=1000),
        did("resize", at_ms + 5, by=by, **how),
    ]


CARELESS = did("resize", 50, by=-1, status=428)


def test_two_changes_of_one_version_are_one_lost_change():
    told = edits(
        WITHOUT, [*edit(1, 0, read=1), *edit(2, 1, read=1), *edit(3, 20, read=3)], capacity=1002
    )
    (cell,) = judge([told], SCENARIO.plan).cells
    assert (cell.violations, cell.measured("lost")) == (1, 1)
    assert "journeys 1 and 2" in cell.smallest_witness.sentence


def test_changes_that_name_what_they_have_read_are_all_there():
    told = edits(
        WITH,
        [
            *edit(1, 0, read=1, if_match=1),
            *edit(2, 1, read=1, if_match=1, status=412),
            *edit(3, 20, read=2, if_match=2),
            CARELESS,
        ],
        capacity=1002,
    )
    (cell,) = judge([told], SCENARIO.plan).cells
    assert (cell.verdict, cell.measured("lost"), cell.measured("accepted")) == ("valid", 0, 2)


def test_a_change_without_precondition_that_is_not_refused_violates_the_claim():
    told = edits(WITH, [*edit(1, 0, read=1, if_match=1), did("resize", 50, by=-1)], capacity=1001)
    (cell,) = judge([told], SCENARIO.plan).cells
    assert cell.verdict == "invalid"
    assert "not 428" in " ".join(w.sentence for j in cell.judgements for w in j.witnesses)


def test_a_careless_change_that_nobody_decided_violates_nothing():
    undecided = did("resize", 50, by=-1, status=503)
    told = edits(WITH, [*edit(1, 0, read=1, if_match=1), undecided], capacity=1001)
    (cell,) = judge([told], SCENARIO.plan).cells
    assert (cell.verdict, cell.violations) == ("unknown", 0)


def test_a_change_nobody_heard_of_again_leaves_the_question_open():
    told = edits(
        WITH,
        [*edit(1, 0, read=1, if_match=1), *edit(2, 9, read=2, status=0), CARELESS],
        capacity=1001,
    )
    (cell,) = judge([told], SCENARIO.plan).cells
    assert cell.verdict == "unknown"
