"""What Prometheus learns about a projector."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class ConsumerMetrics:
    """Counters of one projector process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.events = Counter(
            "projector_events_applied", "Events folded in.", registry=self.registry
        )
        self.batches = Counter(
            "projector_batches_applied", "Transactions that moved it.", registry=self.registry
        )
        self.from_log = Counter(
            "projector_events_from_log",
            "Events read from the log instead of the stream: catching up, or a gap.",
            registry=self.registry,
        )
        self.skipped = Counter(
            "projector_events_skipped",
            "Events of a type that this version does not know.",
            ["type"],
            registry=self.registry,
        )
        self.position = Gauge(
            "projector_position", "Position of the checkpoint.", registry=self.registry
        )
        self.as_of = Gauge(
            "projector_as_of_timestamp_seconds",
            "The moment up to which everything has been heard, in database time.",
            registry=self.registry,
        )
        self.stopped = Gauge(
            "projector_stopped", "1 when stopped at a poison event.", registry=self.registry
        )
