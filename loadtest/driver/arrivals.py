"""When people arrive: moments in seconds since the beginning, ascending, endless unless said. Pure and seeded, so a run can be replayed.

Which one matters: constant arrivals flatter a queue, independent people come in Poisson's clusters, a ramp finds the knee, a burst is what
happens when a sale opens.
"""

import random
from collections.abc import Iterator
from math import sqrt


def constant(rate_per_s: float) -> Iterator[float]:
    """One every 1/rate seconds."""
    number = 0
    while True:
        number += 1
        yield number / rate_per_s


def poisson(rate_per_s: float, rng: random.Random) -> Iterator[float]:
    """Independent people: exponential gaps."""
    moment_s = 0.0
    while True:
        moment_s += rng.expovariate(rate_per_s)
        yield moment_s


def ramp(from_per_s: float, to_per_s: float, *, over_s: float) -> Iterator[float]:
    """A rate that grows (or falls) steadily over `over_s` and then stays.

    The n-th arrival is where the integral of the rate reaches n: r₀t + (r₁ − r₀)t²/2T = n.
    """
    slope = (to_per_s - from_per_s) / over_s
    during = (from_per_s + to_per_s) / 2 * over_s
    number = 0
    while True:
        number += 1
        if number <= during:
            under_root = from_per_s**2 + 2 * slope * number
            yield (
                number / from_per_s
                if slope == 0
                else (sqrt(max(0.0, under_root)) - from_per_s) / slope
            )
        else:
            yield over_s + (number - during) / to_per_s


def burst(size: int, *, every_s: float, within_s: float, rng: random.Random) -> Iterator[float]:
    """Every `every_s` a crowd of `size`, each of it at a random moment of the first `within_s`."""
    number = 0
    while True:
        begins_s = number * every_s
        yield from sorted(begins_s + rng.random() * within_s for _ in range(size))
        number += 1
