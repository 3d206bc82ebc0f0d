"""The theory against a simulation small enough to believe: no system, only people, a delay and a counter."""

import heapq
import random
from math import sqrt
from statistics import mean

import pytest

from loadtest.theory.staleness_budget import band, decisions_in_flight

RATE_PER_S = 500
CAPACITY = 500
THINK_MS = 25


def sold_out(*, stale_ms: float, guarded: bool, seed: int) -> int:
    """One sale: units sold beyond the capacity, or with the guard, buyers refused."""
    rng = random.Random(seed)  # noqa: S311 -- seeded experiment
    arrivals: list[float] = []
    now_s = 0.0
    while now_s < CAPACITY / RATE_PER_S + 3 * (stale_ms + THINK_MS) / 1000 + 1:
        now_s += rng.expovariate(RATE_PER_S)
        arrivals.append(now_s)
    decided_s: list[float] = []  # when each unit was sold, in order
    thinking: list[float] = []
    refused = 0
    for look_s in arrivals:
        while thinking and thinking[0] <= look_s:
            decision_s = heapq.heappop(thinking)
            if guarded and len(decided_s) >= CAPACITY:
                refused += 1
            else:
                decided_s.append(decision_s)
        sold_as_shown = sum(1 for s in reversed(decided_s) if s > look_s - stale_ms / 1000)
        if len(decided_s) - sold_as_shown < CAPACITY:
            heapq.heappush(thinking, look_s + rng.expovariate(1000 / THINK_MS))
    left = len(thinking)
    return refused + left if guarded else len(decided_s) + left - CAPACITY


@pytest.mark.parametrize("guarded", [False, True])
@pytest.mark.parametrize("stale_ms", [0, 50, 200])
def test_a_sell_out_costs_as_many_decisions_as_are_in_flight_on_the_old_view(stale_ms, guarded):
    sales = 30
    seen = mean(sold_out(stale_ms=stale_ms, guarded=guarded, seed=s) for s in range(sales))
    expected = decisions_in_flight(RATE_PER_S, stale_ms + THINK_MS)
    assert abs(seen - expected) <= band(RATE_PER_S, stale_ms + THINK_MS, sales)


def test_the_band_narrows_with_the_root_of_the_number_of_sales():
    assert band(500, 200, 1) == pytest.approx(3 * sqrt(100))
    assert band(500, 200, 4) == pytest.approx(band(500, 200, 1) / 2)
