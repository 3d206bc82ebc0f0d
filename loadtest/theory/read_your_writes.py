"""Who reads a gap g after writing, without a token, misses the write with probability P(S > g): the survival curve of the lag itself.

With a token nobody misses it; the price is a wait of E[(S − g)⁺] more.
"""

from bisect import bisect_right
from collections.abc import Sequence
from math import sqrt
from statistics import fmean


def miss_share(lags_ms: Sequence[float], gap_ms: float) -> float:
    """P(S > g) over samples of the lag."""
    ordered = sorted(lags_ms)
    return 1 - bisect_right(ordered, gap_ms) / len(ordered)


def extra_wait_ms(lags_ms: Sequence[float], gap_ms: float) -> float:
    """E[(S − g)⁺]."""
    return fmean(max(0.0, lag - gap_ms) for lag in lags_ms)


def share_band(share: float, tries: int) -> float:
    """Three standard deviations of a share measured in so many tries."""
    return 3 * sqrt(max(share * (1 - share), 1 / tries) / tries)
