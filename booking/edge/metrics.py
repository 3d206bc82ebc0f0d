"""HTTP metrics: how many requests, how long they took, by route template, method and status.

Counting is a dictionary look-up and three additions per request; the library's own counters would cost
several times that on the hot path. The numbers become metric families only when somebody scrapes.
"""

from bisect import bisect_left
from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_LABELS = ["route", "method", "status"]


class _Tally:
    __slots__ = ("buckets", "sum_s")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BUCKETS_S) + 1)
        self.sum_s = 0.0


class HttpMetrics(Collector):
    """The requests of one application."""

    def __init__(self) -> None:
        self._tallies: dict[tuple[str, str, int], _Tally] = {}

    def note(self, route: str, method: str, status: int, duration_s: float) -> None:
        """Counts one finished request."""
        tally = self._tallies.get((route, method, status))
        if tally is None:
            tally = self._tallies[route, method, status] = _Tally()
        tally.buckets[bisect_left(BUCKETS_S, duration_s)] += 1
        tally.sum_s += duration_s

    def collect(self) -> Iterable[CounterMetricFamily | HistogramMetricFamily]:
        """What a scrape shows."""
        requests = CounterMetricFamily("http_requests", "Requests answered.", labels=_LABELS)
        durations = HistogramMetricFamily(
            "http_request_duration_seconds",
            "From the request's head to the end of its answer.",
            labels=_LABELS,
        )
        for (route, method, status), tally in list(self._tallies.items()):
            labels = [route, method, str(status)]
            total, cumulated = 0, []
            for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), tally.buckets, strict=True):
                total += count
                cumulated.append((bound, float(total)))
            requests.add_metric(labels, total)
            durations.add_metric(labels, cumulated, sum_value=tally.sum_s)
        yield requests
        yield durations
