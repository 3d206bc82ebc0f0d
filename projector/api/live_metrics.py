"""What Prometheus learns about the live streams of a query node.

The numbers are plain integers where they are counted; they become metric families when scraped.
"""

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from projector.api.live import Live


class LiveMetrics(Collector):
    """The metrics of the streams of one process."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def collect(self) -> Iterable[Metric]:
        """What a scrape shows."""
        live = self._live
        yield GaugeMetricFamily("queries_streams_open", "Live streams.", value=len(live))
        yield CounterMetricFamily(
            "queries_streams_conflated",
            "States of a slot that a newer one replaced before they were sent.",
            value=live.counts.conflated,
        )
        yield CounterMetricFamily(
            "queries_streams_stalled",
            "Streams closed because nothing was taken.",
            value=live.counts.stalled,
        )
