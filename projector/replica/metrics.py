"""What Prometheus learns about a query node's memory and its ear.

The numbers are plain integers where they are counted; they become metric families when scraped.
"""

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from projector.replica.node import QueryNode


class ReplicaMetrics(Collector):
    """The metrics of one query node."""

    def __init__(self, node: QueryNode) -> None:
        self._node = node

    def collect(self) -> Iterable[Metric]:
        """What a scrape shows."""
        node = self._node
        replica, standing = node.replica, node.follower.standing
        yield _counter("replica_hits", "Slots answered from memory.", replica.hits)
        yield _counter("replica_misses", "Slots asked for that were not held.", replica.misses)
        yield _counter("replica_drops", "Times that everything was let go.", replica.drops)
        yield _counter("replica_evicted", "Slots let go for lack of room.", replica.evicted)
        yield _gauge("replica_slots", "Slots held in memory.", len(replica))
        fills = CounterMetricFamily(
            "queries_replica_fills", "Readings of the tables, by outcome.", labels=["outcome"]
        )
        for outcome, count in node.slots.fills.items():
            fills.add_metric([outcome.replace(" ", "_")], count)
        yield fills
        yield _counter(
            "feed_holes", "Times that changes may have been missed.", node.follower.holes
        )
        if node.feed is not None:
            yield _counter("feed_messages", "Messages of the change feed.", node.feed.messages)
            yield _counter("feed_silences", "Times that the feed fell silent.", node.feed.silences)
        yield _counter("polls", "Times that the tables were asked for changes.", node.poll.polls)
        if standing is not None:
            yield _gauge("position", "The last position applied.", standing.position)
            yield _gauge(
                "as_of_seconds",
                "The moment up to which everything was heard, in Unix time.",
                standing.as_of.timestamp(),
            )


def _counter(name: str, meaning: str, value: float) -> Metric:
    return CounterMetricFamily(f"queries_{name}", meaning, value=value)


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(f"queries_{name}", meaning, value=value)
