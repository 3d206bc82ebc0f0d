"""What Prometheus learns about a projector; the names are documented in docs/operations.md."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

BATCH_EVENTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
BATCH_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5)


class ConsumerMetrics:
    """The figures of one projector process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.events = self._counter("projector_events_applied", "Events folded in.")
        self.from_log = self._counter(
            "projector_events_from_log",
            "Events read from the log instead of the stream: catching up, a gap, or polling.",
        )
        self.skipped = Counter(
            "projector_events_skipped",
            "Events of a type that this version does not know.",
            ["type"],
            registry=self.registry,
        )
        self.repeated = self._counter(
            "projector_messages_repeated",
            "Messages dropped, because their event was there already.",
        )
        self.refused = self._counter(
            "projector_messages_refused", "Messages dropped, because the log must say it instead."
        )
        self.gaps = self._counter(
            "projector_gaps_filled", "Jumps in the stream that were filled from the log."
        )
        self.batches = self._counter("projector_batches_applied", "Transactions that moved it.")
        self.put_aside = self._counter(
            "projector_events_put_aside", "Events that could not be taken in."
        )
        self.dead_letters = self._gauge(
            "projector_dead_letters", "Events put aside and neither retried nor dropped since."
        )
        self.consumers = self._counter(
            "projector_consumers_made",
            "Consumers made on the stream: 1, and 1 more per interruption.",
        )
        self.reconnects = self._counter(
            "projector_nats_reconnects", "Connections to NATS that were lost and stand again."
        )
        self.restarts = self._counter(
            "projector_restarts",
            "How often it began again from its checkpoint, whatever the reason.",
        )
        self.take_overs = self._counter(
            "projector_take_overs", "How often it went from standing by to work."
        )
        self.batch_events = Histogram(
            "projector_batch_events",
            "Events per transaction.",
            buckets=BATCH_EVENTS,
            registry=self.registry,
        )
        self.batch_seconds = Histogram(
            "projector_batch_seconds",
            "Time to fold and commit a batch.",
            buckets=BATCH_SECONDS,
            registry=self.registry,
        )
        self.position = self._gauge("projector_position", "Position of the checkpoint.")
        self.behind = self._gauge(
            "projector_lag_positions", "Positions of the log known and not applied."
        )
        self.lag = self._gauge(
            "projector_lag_seconds",
            "Upper bound of the database's time now, minus as_of; NaN while one is not known.",
        )
        self.as_of = self._gauge(
            "projector_as_of_timestamp_seconds",
            "The moment up to which everything has been heard, in database time.",
        )
        self.drift = self._gauge(
            "projector_drift_rows",
            "Rows that were not what the log says at the last verification and are not mended.",
        )
        self.verified = self._gauge(
            "projector_verified_timestamp_seconds",
            "When the read model was last verified; 0 when never.",
        )
        self.active = self._gauge("projector_active", "1 when it is the one that works.")
        self.stopped = self._gauge(
            "projector_stopped", "1 when too many events could not be taken in."
        )

    def ask_when_scraped(
        self, *, behind: Callable[[], float], lag_s: Callable[[], float], active: Callable[[], bool]
    ) -> None:
        """What is computed when somebody looks."""
        self.behind.set_function(behind)
        self.lag.set_function(lag_s)
        self.active.set_function(active)

    def _counter(self, name: str, said: str) -> Counter:
        return Counter(name, said, registry=self.registry)

    def _gauge(self, name: str, said: str) -> Gauge:
        return Gauge(name, said, registry=self.registry)
