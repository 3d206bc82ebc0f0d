"""What staleness costs at a sell-out: the decisions in flight on the old view.

People who are shown units decide at a rate of λ per second, each D = S + Z after the moment their view was true (S staleness of what was
shown, Z think and queue time). By Little's law λ·E[D] of them are under way when the last unit goes, whatever the capacity. Without a guard
each of them oversells one unit; with the guard each of them is refused. The guard does not remove the cost of staleness: it turns oversells
into refusals, one for one.
"""

from math import sqrt


def decisions_in_flight(rate_per_s: float, decision_staleness_ms: float) -> float:
    """λ·E[D]: units oversold per sell-out without a guard, buyers refused with it (one unit each)."""
    return rate_per_s * decision_staleness_ms / 1000


def band(rate_per_s: float, decision_staleness_ms: float, sales: int) -> float:
    """Three standard deviations of the mean over `sales`: decisions in flight are Poisson, so one sale varies by √(λE[D])."""
    return 3 * sqrt(decisions_in_flight(rate_per_s, decision_staleness_ms) / sales)
