"""Each line of theory against a simulation small enough to believe: no system, only chance and a clock."""

import random
from math import inf

import pytest

from loadtest.theory.batching import batch_size, singly_max_per_s
from loadtest.theory.churn import difference_band, turned_away_per_release
from loadtest.theory.optimistic_edits import goodput_max_per_s, goodput_per_s
from loadtest.theory.read_your_writes import extra_wait_ms, miss_share, share_band
from loadtest.theory.stale_reads import stale_share, versions_behind


def arrivals(rate_per_s: float, seconds: float, rng: random.Random) -> list[float]:
    moments, now_s = [], rng.expovariate(rate_per_s)
    while now_s < seconds:
        moments.append(now_s)
        now_s += rng.expovariate(rate_per_s)
    return moments


def seeded(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 -- seeded simulation


@pytest.mark.parametrize(("writes_per_s", "mean_stale_ms"), [(5, 50), (20, 50), (40, 200)])
def test_a_read_is_stale_when_a_write_came_within_its_age(writes_per_s, mean_stale_ms):
    rng = seeded(1)
    samples_ms = [rng.expovariate(1 / mean_stale_ms) for _ in range(8000)]
    behind = [len(arrivals(writes_per_s, ms / 1000, rng)) for ms in samples_ms]
    share = sum(n > 0 for n in behind) / len(behind)
    assert share == pytest.approx(stale_share(writes_per_s, samples_ms), abs=0.02)
    mean = sum(behind) / len(behind)
    assert mean == pytest.approx(versions_behind(writes_per_s, samples_ms), rel=0.06)


def test_phantoms_and_false_sold_outs_come_at_the_same_rate():
    """A slot that is full and free in turns, seen 80 ms late, by people who come at any time."""
    rng = seeded(2)
    changes, now_s, full = [(0.0, False)], 0.0, False
    while now_s < 400:
        now_s += rng.expovariate(4 if full else 7)
        full = not full
        changes.append((now_s, full))

    def is_full(moment_s: float, hint: list[int]) -> bool:
        while hint[0] + 1 < len(changes) and changes[hint[0] + 1][0] <= moment_s:
            hint[0] += 1
        return changes[hint[0]][1]

    truth, view, phantoms, false_sold_outs = [0], [0], 0, 0
    for moment_s in arrivals(200, 400, rng):
        really, shown = is_full(moment_s, truth), is_full(moment_s - 0.08, view)
        phantoms += really and not shown
        false_sold_outs += shown and not really
    assert phantoms > 1000
    # People come often enough to meet one change many times, so their counts vary more than Poisson's.
    assert abs(phantoms - false_sold_outs) < 3 * difference_band(phantoms, false_sold_outs)


def test_whoever_comes_while_the_view_still_says_sold_out_is_turned_away():
    rng = seeded(3)
    stale_ms = 150
    turned_away = [len(arrivals(400, stale_ms / 1000, rng)) for _ in range(500)]
    expected = turned_away_per_release(400, stale_ms)
    assert sum(turned_away) / 500 == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("attempts_per_s", [10, 50, 400])
def test_edits_on_one_version_exclude_each_other_for_as_long_as_one_takes(attempts_per_s):
    rng, dead_ms, seconds = seeded(4), 20, 200
    accepted, version_since_s = 0, -1.0
    for began_s in arrivals(attempts_per_s, seconds, rng):
        # Decided one dead time after reading; it succeeds if nobody else's change came in between.
        if began_s >= version_since_s:
            accepted += 1
            version_since_s = began_s + dead_ms / 1000
    assert accepted / seconds == pytest.approx(goodput_per_s(attempts_per_s, dead_ms), rel=0.05)
    assert accepted / seconds < goodput_max_per_s(dead_ms)


def test_twenty_milliseconds_allow_fifty_edits_a_second_at_most():
    assert goodput_max_per_s(20) == 50
    assert goodput_per_s(10**6, 20) == pytest.approx(50, rel=1e-3)


@pytest.mark.parametrize("gap_ms", [0, 20, 100])
def test_who_reads_after_a_gap_misses_the_write_as_often_as_the_lag_is_longer(gap_ms):
    rng = seeded(5)
    lags_ms = [rng.lognormvariate(3, 0.8) for _ in range(4000)]
    tries = [rng.choice(lags_ms) for _ in range(4000)]
    missed = sum(lag > gap_ms for lag in tries) / len(tries)
    expected = miss_share(lags_ms, [gap_ms])
    assert abs(missed - expected) <= share_band(expected, len(tries)) * 1.5
    waited_ms = sum(max(0, lag - gap_ms) for lag in tries) / len(tries)
    assert waited_ms == pytest.approx(extra_wait_ms(lags_ms, gap_ms), rel=0.15, abs=0.3)


def test_where_lags_are_alike_the_share_is_that_of_the_gaps_really_left_not_of_their_mean():
    lags_ms, gaps_ms = [50.0] * 1000, [49.0, 49.0, 49.0, 56.0]
    assert miss_share(lags_ms, gaps_ms) == 0.75
    assert miss_share(lags_ms, [sum(gaps_ms) / 4]) == 0


@pytest.mark.parametrize("rate_per_s", [500, 2000, 6000])
def test_a_batch_is_whatever_arrived_while_the_last_one_was_decided(rate_per_s):
    rng, fixed_ms, each_ms = seeded(6), 2.0, 0.05
    moments = arrivals(rate_per_s, 30, rng)
    now_s, at, sizes = 0.0, 0, []
    while at < len(moments):
        now_s = max(now_s, moments[at])
        size = 0
        while at < len(moments) and moments[at] <= now_s:
            at, size = at + 1, size + 1
        now_s += (fixed_ms + size * each_ms) / 1000
        sizes.append(size)
    expected = batch_size(rate_per_s, fixed_ms=fixed_ms, per_command_ms=each_ms)
    busy = sizes[10:]
    # When nobody waits a batch of one begins at once, so at low rates batches are a little larger than the formula's floor.
    assert sum(busy) / len(busy) == pytest.approx(expected, rel=0.12 if rate_per_s > 500 else 0.6)


def test_more_than_the_processor_can_do_has_no_balance():
    assert batch_size(30_000, fixed_ms=2, per_command_ms=0.05) == inf
    assert batch_size(10, fixed_ms=2, per_command_ms=0.05) == 1
    assert singly_max_per_s(0.5) == 2000
