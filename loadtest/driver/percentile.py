"""Exact percentiles of raw samples: a run has at most some hundred thousand, so nothing is binned."""

from collections.abc import Sequence


def percentile(samples: Sequence[float], percent: float) -> float:
    """The smallest sample that at least `percent` of all samples do not exceed; 0.0 without samples."""
    if not samples:
        return 0.0
    ordered = sorted(samples)
    rank = -(-len(ordered) * percent // 100)  # ceiling
    return ordered[max(0, min(len(ordered), int(rank)) - 1)]
