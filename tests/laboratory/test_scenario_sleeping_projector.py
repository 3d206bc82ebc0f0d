"""Scenario 12 judged by hand: who was told something older than they asked for, who saw the view go back, and what proves nothing."""

import msgspec
from told import HALL, Log, did

from loadtest.evidence.pages_read import Page, never_back
from loadtest.evidence.trial import Mark, Record, Trial
from loadtest.scenarios.sleeping_projector import (
    ASLEEP,
    EVERY_GUARD,
    NO_CHECKPOINT_GUARD,
    NO_WATERMARK,
    SCENARIO,
    TWO,
    judge,
    recovery_ms,
)

NAP = Mark(what="asleep", at_ns=0, until_ns=5 * 10**9)
BOOKED = [did("book", 1000 * n, by=100 + n, key=f"k{n}") for n in range(6)]
LOG = Log(capacity=100).opened()
for n in range(6):
    LOG.booked(f"k{n}")


def page(position: int, remaining: int, *, reader: int = 1) -> Page:
    return Page(reader=reader, position=position, remaining=remaining)


FORWARDS = [page(1, 9), page(1, 9), page(3, 7)]


def told(arm, *looks, fault: str = ASLEEP, pages=FORWARDS) -> Record:
    trial = Trial(
        name="r",
        arm=arm.name,
        knobs={"fault": fault},
        slot_ids=[HALL],
        log=None,
        began_ns=0,
        ended_ns=8 * 10**9,
        marks=[NAP],
        facts={"pages": msgspec.to_builtins(list(pages))},
        complete=True,
    )
    return Record(trial=trial, operations=[*BOOKED, *looks], events=LOG.events)


def look(at_ms: float, version: int, *, bounded: bool = True, **more):
    """Version n + 1 is there from second n - 1 on, and leaves 100 - n units."""
    condition = "max-age=1" if bounded else None
    shown = {"version": version, "remaining": 101 - version, "condition": condition}
    return did("look", at_ms, **shown, **more)


def test_an_answer_older_than_asked_for_is_found_exactly():
    record = told(NO_WATERMARK, look(1500, 2), look(4600, 3), look(4600, 3, bounded=False))
    (cell,) = judge([record], SCENARIO.plan).cells
    assert (cell.violations, cell.opportunities, cell.must_show) == (1, 2, True)
    assert "asked for max-age=1 and was shown version 3" in cell.smallest_witness.sentence
    assert cell.measured("behind ms") == 2599


def test_a_refusal_is_no_lie_and_who_asks_for_nothing_is_promised_nothing():
    record = told(
        EVERY_GUARD,
        look(1500, 2),
        look(4600, 2, status=412, lag_ms=3600.0),
        look(4600, 2, bounded=False),
    )
    (cell,) = judge([record], SCENARIO.plan).cells
    assert (cell.verdict, cell.measured("412s")) == ("valid", 1)
    assert (cell.measured("served ms"), cell.measured("told ms")) == (499, 3600)


def test_a_view_that_goes_back_is_found_exactly_in_position_and_in_units():
    for older in (page(2, 7), page(3, 8)):
        record = told(NO_CHECKPOINT_GUARD, fault=TWO, pages=[*FORWARDS, older, page(4, 6)])
        (cell,) = judge([record], SCENARIO.plan).cells
        assert (cell.violations, cell.opportunities) == (1, 4)
        assert cell.smallest_witness.sentence == (
            f"reader 1 saw 7 units left at position 3, and then {older.remaining} at position {older.position}"
        )


def test_what_one_reader_saw_is_not_held_against_what_another_sees():
    assert never_back([page(3, 7), page(1, 9, reader=2), page(3, 7)]).verdict == "valid"


def test_without_a_page_to_compare_or_an_answer_nothing_is_proved():
    assert never_back([page(1, 9)]).verdict == "unknown"
    (cell,) = judge([told(EVERY_GUARD, look(1500, 2, status=412))], SCENARIO.plan).cells
    assert cell.verdict == "unknown"


def test_of_two_projectors_the_one_that_was_not_replaced_proves_nothing():
    asked = [look(1500, 2), look(4600, 3, bounded=False)]
    (cell,) = judge([told(EVERY_GUARD, *asked, fault=TWO)], SCENARIO.plan).cells
    assert (cell.verdict, cell.violations) == ("unknown", 0)
    taken_over = look(4700, 6, bounded=False)
    (cell,) = judge([told(EVERY_GUARD, *asked, taken_over, fault=TWO)], SCENARIO.plan).cells
    assert cell.verdict == "valid"


def test_the_view_is_well_again_when_the_last_look_that_was_behind_is_over():
    late, fresh = look(5100, 2, bounded=False), look(5300, 7, bounded=False)
    assert recovery_ms(told(EVERY_GUARD, late, fresh)) == 300
    # Of two, the other takes over while the first is still asleep: it counts from the beginning of the nap.
    assert recovery_ms(told(EVERY_GUARD, late, fresh, fault=TWO)) == 5300
    assert recovery_ms(told(EVERY_GUARD, fresh)) == 0
