"""Scenario 9 judged by hand: pages whose numbers can be true together, and pages whose cannot."""

import msgspec
import pytest

from loadtest.evidence.trial import Record, Trial
from loadtest.scenarios.views_that_disagree import JOINED, OVERVIEW, SCENARIO, Page, judge


def page(by: int = 1, **shown) -> Page:
    return Page(
        journey=by,
        **{"capacity": 10, "remaining": 7, "taken": 3, "listed": 3, "happened": 3} | shown,
        positions=[4],
    )


def told(arm, *pages: Page) -> Record:
    trial = Trial(
        name="r",
        arm=arm.name,
        knobs={"bookings/s": 100},
        slot_ids=["hall"],
        log=None,
        began_ns=0,
        ended_ns=10**9,
        facts={"pages": msgspec.to_builtins(list(pages))},
        complete=True,
    )
    return Record(trial=trial, operations=[], events=[])


def test_a_page_of_one_moment_adds_up():
    (cell,) = judge([told(OVERVIEW, page(1), page(2))], SCENARIO.plan).cells
    assert (cell.verdict, cell.opportunities, cell.measured("wrong %")) == ("valid", 2, 0)


@pytest.mark.parametrize("shown", [{"listed": 4}, {"happened": 2}, {"remaining": 6}])
def test_one_number_of_another_moment_is_found_exactly(shown):
    (cell,) = judge([told(JOINED, page(1), page(2, **shown), page(3))], SCENARIO.plan).cells
    assert cell.violations == 1
    assert cell.smallest_witness.sentence.startswith("journey 2 was shown")


def test_where_nobody_opened_the_page_nothing_is_proved():
    (cell,) = judge([told(OVERVIEW)], SCENARIO.plan).cells
    assert cell.verdict == "unknown"
