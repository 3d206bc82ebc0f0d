"""Rate limits: one token bucket per API key and process.

A bucket refills continuously and admits a burst; both numbers belong to the key. The number of buckets is
bounded, the one unused for longest goes first: forgetting a bucket gives its owner a full one, no more.
"""

import time
from collections import OrderedDict
from collections.abc import Callable

from booking.edge.api_keys import Caller

RATE_PER_S = 200
BURST = 400
BUCKETS_MAX = 10_000


class RateLimit:
    """The buckets of a process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Takes the clock, in seconds."""
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, caller: Caller) -> float:
        """Takes a token; 0 when there was one, else the seconds until there will be."""
        rate = caller.rate_per_s or RATE_PER_S
        burst = caller.burst or max(BURST, rate)
        now = self._clock()
        tokens, at = self._buckets.get(caller.id, (float(burst), now))
        tokens = min(float(burst), tokens + (now - at) * rate)
        admitted = tokens >= 1
        self._buckets[caller.id] = (tokens - 1 if admitted else tokens, now)
        self._buckets.move_to_end(caller.id)
        if len(self._buckets) > BUCKETS_MAX:
            self._buckets.popitem(last=False)
        return 0.0 if admitted else (1 - tokens) / rate
