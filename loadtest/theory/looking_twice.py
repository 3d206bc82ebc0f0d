"""Looking twice: what two nodes show differs by the writes between the moments they show.

A look at moment t at a node that is L behind shows the slot as it was at t − L. Time runs backwards for whoever was shown a later moment before,
if a write lies in between; writes are independent (Poisson, w per second), so the lengths of such stretches, without counting any twice, decide.
"""

from collections.abc import Sequence
from math import exp


def backwards_share(shown_ms: Sequence[float], writes_per_s: float) -> float:
    """The probability that somebody sees an older version after a newer one, who was shown these moments in this order."""
    hidden_ms, latest_ms, stretches = 0.0, float("-inf"), []
    for moment_ms in shown_ms:
        if moment_ms < latest_ms:
            stretches.append((moment_ms, latest_ms))
        latest_ms = max(latest_ms, moment_ms)
    covered_ms = float("-inf")
    for begin_ms, end_ms in sorted(stretches):
        hidden_ms += max(0.0, end_ms - max(begin_ms, covered_ms))
        covered_ms = max(covered_ms, end_ms)
    return 1 - exp(-writes_per_s * hidden_ms / 1000)


def agreeing_share(lags_ms: Sequence[float], writes_per_s: float) -> float:
    """The probability that nodes asked at once show the same."""
    return exp(-writes_per_s * (max(lags_ms) - min(lags_ms)) / 1000)
