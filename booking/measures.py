"""What the write side counts, under the names a dashboard asks for."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 192)


class Measures:
    """The counters of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self._batch_size = Histogram(
            "booking_batch_size",
            "Commands decided together in one transaction.",
            buckets=BATCH_SIZES,
            registry=self.registry,
        )
        self._outcomes = Counter(
            "booking_decisions",
            "Answers by outcome: accepted, replayed, or the rejection's slug.",
            ["outcome"],
            registry=self.registry,
        )
        self._based_on = Counter(
            "booking_decisions_based_on",
            "Answers to requests that said what the user had been shown (Based-On), by outcome.",
            ["outcome"],
            registry=self.registry,
        )
        self._faults = Counter(
            "booking_faults",
            "Commands that could not be decided, by fault.",
            ["fault"],
            registry=self.registry,
        )
        self._reruns = Counter(
            "booking_reruns",
            "Deciding calls that were run again, by error.",
            ["error"],
            registry=self.registry,
        )
        self._by_outcome: dict[str, Callable[[], None]] = {}

    def watch_queue(self, depth: Callable[[], int]) -> None:
        """Show the queue's depth when asked."""
        gauge = Gauge(
            "booking_queue_depth",
            "Callers waiting for their batch to begin.",
            registry=self.registry,
        )
        gauge.set_function(depth)

    def batch(self, size: int) -> None:
        """A batch has begun."""
        self._batch_size.observe(size)

    def outcome(self, outcome: str, *, based_on: bool) -> None:
        """A command was answered; `outcome` is one of a fixed few."""
        count = self._by_outcome.get(outcome)
        if count is None:  # resolving labels costs more than counting
            count = self._by_outcome[outcome] = self._outcomes.labels(outcome).inc
        count()
        if based_on:
            self._based_on.labels(outcome).inc()

    def fault(self, fault: Exception) -> None:
        """A command could not be decided."""
        self._faults.labels(type(fault).__name__).inc()

    def rerun(self, error: str) -> None:
        """A deciding call is run again."""
        self._reruns.labels(error).inc()
