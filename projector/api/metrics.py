"""What Prometheus learns about the reads of a query node."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

AGE_BUCKETS_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300)
WAIT_BUCKETS_S = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
LEVELS = ("eventual", "session", "bounded", "strong")


class ReadMetrics:
    """Counters of one query node's reads, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        age = Histogram(
            "queries_answer_age_seconds",
            "Upper bound of the age of answers, by the level that was met.",
            ["level"],
            buckets=AGE_BUCKETS_S,
            registry=self.registry,
        )
        self.age = {level: age.labels(level) for level in LEVELS}
        self.outcomes = Counter(
            "queries_conditional_reads",
            "Reads that asked for a level, by what became of it: met_at_once, met_after_waiting, "
            "lenient, or the problem they were answered with.",
            ["outcome"],
            registry=self.registry,
        )
        self.met_at_once = self.outcomes.labels("met_at_once")
        self.met_after_waiting = self.outcomes.labels("met_after_waiting")
        pages = Counter(
            "queries_calendar_pages",
            "Pages of availability, by where they were read.",
            ["source"],
            registry=self.registry,
        )
        self.pages_from_memory = pages.labels("memory")
        self.pages_from_tables = pages.labels("tables")
        self.waited = Histogram(
            "queries_wait_seconds",
            "How long reads waited for their conditions, met or not.",
            buckets=WAIT_BUCKETS_S,
            registry=self.registry,
        )
        self.waiting = Gauge(
            "queries_waiting", "Reads that wait for their conditions now.", registry=self.registry
        )
