"""Who reads a gap g after writing, without a token, misses the write with probability P(S > g): the survival curve of the lag itself.

With a token nobody misses it; the price is a wait of E[(S − g)⁺] more.
"""

from bisect import bisect_right
from collections.abc import Sequence
from math import sqrt
from statistics import fmean


def miss_share(lags_ms: Sequence[float], gaps_ms: Sequence[float]) -> float:
    """P(S > g) over samples of the lag and of the gap.

    Nobody's gap is exactly what was planned, and where many lags are alike the curve is so steep that
    the share at the mean gap is not the mean share.
    """
    ordered = sorted(lags_ms)
    return 1 - fmean(bisect_right(ordered, gap_ms) for gap_ms in gaps_ms) / len(ordered)


def extra_wait_ms(lags_ms: Sequence[float], gap_ms: float) -> float:
    """E[(S − g)⁺]."""
    return fmean(max(0.0, lag - gap_ms) for lag in lags_ms)


def share_band(share: float, tries: int) -> float:
    """Three standard deviations of a share measured in so many tries."""
    return 3 * sqrt(max(share * (1 - share), 1 / tries) / tries)
