"""How often is a read stale, and by how many versions?

Writes come as a Poisson process of w per second; a read shows the state of S ago. It is stale if at least one write came within S, which has
probability 1 − e^(−wS) for a given S; in the mean w·E[S] writes did.
"""

from collections.abc import Sequence
from math import exp
from statistics import fmean


def stale_share(writes_per_s: float, staleness_ms: Sequence[float]) -> float:
    """P(stale) = 1 − E[e^(−wS)], the expectation over samples of S."""
    return 1 - fmean(exp(-writes_per_s * each / 1000) for each in staleness_ms)


def versions_behind(writes_per_s: float, staleness_ms: Sequence[float]) -> float:
    """w·E[S]."""
    return writes_per_s * fmean(staleness_ms) / 1000
