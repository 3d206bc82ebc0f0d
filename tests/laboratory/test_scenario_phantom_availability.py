"""Scenario 2 on sales told by hand: refusals are held against λD, and what does not fit is said."""

from msgspec.structs import replace
from sales_told_by_hand import PLAN, sale

from loadtest.scenarios.phantom_availability import EVENTUAL, STRONG, judge

SALES = [sale(EVENTUAL.name, lag_ms) for lag_ms in PLAN.lags_ms]


def test_refusals_are_the_decisions_in_flight_and_their_slope_is_the_rate_of_buyers():
    judged = judge(SALES, PLAN)
    assert [cell.measured("refused") for cell in judged.cells] == [2, 7, 22]
    assert all(cell.as_predicted for cell in judged.cells)
    assert judged.notes == ["refusals grow by 100 per second of D; λ is 100"]
    assert [round(cell.measured("false %")) for cell in judged.cells] == [4, 12, 31]


def test_who_is_refused_more_often_than_decisions_were_in_flight_leaves_the_band():
    late = SALES[-1]
    refused = [o for o in late.operations if o.status == 409]
    more = [replace(o, key=f"again {n}", as_of=None) for n in range(2) for o in refused]
    [cell] = judge([replace(late, operations=[*late.operations, *more])], PLAN).cells
    assert cell.as_predicted is False


def test_strong_reads_stand_beside_it_without_a_band():
    cells = judge([*SALES, sale(STRONG.name, 0)], PLAN).cells
    assert cells[-1].arm == STRONG.name
    assert cells[-1].theory is None
    assert cells[-1].measured("refused") == 2


def test_a_sale_after_which_nobody_came_in_vain_is_no_hole_beside_one_after_which_somebody_did():
    told = sale(STRONG.name, 0)
    in_vain = {o.journey for o in told.operations if o.status == 409}
    nobody = replace(told, operations=[o for o in told.operations if o.journey not in in_vain])
    [cell] = judge([told, nobody], PLAN).cells
    [alone] = judge([nobody], PLAN).cells
    assert (cell.verdict, alone.verdict) == ("valid", "unknown")


def test_a_hole_in_the_log_of_one_sale_is_one_of_all_also_where_nobody_came_in_vain():
    told = sale(STRONG.name, 0)
    in_vain = {o.journey for o in told.operations if o.status == 409}
    nobody = [o for o in told.operations if o.journey not in in_vain]
    torn = replace(told, operations=nobody, events=told.events[:-1])
    [cell] = judge([told, torn], PLAN).cells
    assert cell.verdict == "unknown"
