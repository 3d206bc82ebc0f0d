"""Churn: on a slot that goes between full and free, phantom refusals and false sold-outs come at the same rate, exactly.

The view is the truth shifted by S. A phantom is a moment at which the view says free and the truth says full, a false sold-out the opposite. The
shares of time are P(view free, truth full) and P(view full, truth free); both sides have the same share of time full, so the two are equal: a
free, falsifiable check of a measurement.
"""

from math import sqrt


def difference_band(phantoms: int, false_sold_outs: int) -> float:
    """Three standard deviations of the difference of two counts that should be equal."""
    return 3 * sqrt(phantoms + false_sold_outs)


def turned_away_per_release(rate_per_s: float, staleness_ms: float) -> float:
    """λS: who comes while a view still says "sold out" after a unit was given back."""
    return rate_per_s * staleness_ms / 1000
