"""Scenario 10 judged by hand: a read model at rest that says what the log says, one that does not, and one nobody read."""

import msgspec
import pytest
from told import HALL, Log

from loadtest.evidence.trial import Record, Trial
from loadtest.history import FinalSlot
from loadtest.scenarios.duplicates_and_disorder import (
    ARRIVALS,
    BOTH,
    SCENARIO,
    SHUFFLED,
    TWICE,
    VERSIONS,
    judge,
)

LOG = Log().opened().booked("a").booked("b", booking="b", held=True).then("released", "b").events


def shown(**members) -> FinalSlot:
    """The hall at rest, as the log has it but for these members."""
    as_logged = {
        "slot_id": HALL,
        "version": 4,
        "capacity": 10,
        "overbooking_units": 0,
        "held": 0,
        "confirmed": 1,
        "remaining": 9,
    }
    return FinalSlot(**as_logged | members)


def told(arm, *finals: FinalSlot, fault: str = TWICE, repeated: int = 4) -> Record:
    trial = Trial(
        name="r",
        arm=arm.name,
        knobs={"fault": fault},
        slot_ids=[HALL],
        log=None,
        began_ns=0,
        ended_ns=10**9,
        facts={"finals": msgspec.to_builtins(list(finals)), "repeated": repeated},
        complete=True,
    )
    return Record(trial=trial, operations=[], events=LOG)


def only_cell(record: Record):
    (cell,) = judge([record], SCENARIO.plan).cells
    return cell


def test_a_view_that_says_what_the_log_says_has_not_drifted():
    cell = only_cell(told(VERSIONS, shown()))
    assert (cell.verdict, cell.opportunities, cell.measured("units wrong")) == ("valid", 1, 0)


@pytest.mark.parametrize(
    ("wrong", "units"),
    [
        ({"confirmed": 2, "remaining": 8}, 1),
        ({"held": -1, "remaining": 10}, 1),
        ({"version": 3}, 0),
    ],
)
def test_one_number_that_is_not_the_logs_is_found_exactly(wrong, units):
    cell = only_cell(told(ARRIVALS, shown(**wrong)))
    assert (cell.violations, cell.measured("units wrong")) == (1, units)
    assert "the log ends with" in cell.smallest_witness.sentence


def test_a_view_that_nobody_read_at_rest_proves_nothing():
    assert only_cell(told(VERSIONS)).verdict == "unknown"
    assert only_cell(told(VERSIONS, shown(slot_id="cellar"))).verdict == "unknown"


def test_a_fault_that_did_not_happen_proves_nothing_and_excuses_nothing():
    assert only_cell(told(VERSIONS, shown(), repeated=0)).verdict == "unknown"
    assert only_cell(told(VERSIONS, shown(confirmed=2), repeated=0)).verdict == "invalid"


def test_sums_do_not_mind_the_order_so_only_repeats_have_to_show():
    must = {f: only_cell(told(ARRIVALS, shown(), fault=f)).must_show for f in (SHUFFLED, BOTH)}
    assert must == {SHUFFLED: False, BOTH: True}
