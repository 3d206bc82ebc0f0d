"""What the relay says about itself: numbers to watch, what is missing, and one log line per change.

Lag is the difference of two positions, both of the same round, so it is exact and never negative.
"""

import time
from collections.abc import Callable

import nats.errors
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from booking.relay.agree import NoAgreement
from booking.relay.publish import NotAppended
from booking.relay.relay import Round

SILENT_AFTER_S = 10.0
"""Longer than any single wait of a round; after that the relay is stuck, and says so."""

_log = structlog.get_logger(__name__)


class Condition:
    """Counts rounds and troubles; `missing` is what `/health/ready` names."""

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self.registry = registry = CollectorRegistry(auto_describe=True)
        self._head = _gauge("log_position", "Where the log ends.", registry)
        self._position = _gauge("stream_position", "Where the stream ends.", registry)
        self._lag = _gauge("lag_events", "Events in the log that are not in the stream.", registry)
        self._events = _counter("events", "Events published.", registry)
        self._batches = _counter("batches", "Rounds that published.", registry)
        self._heartbeats = _counter("heartbeats", "Heartbeats sent.", registry)
        self._connects = _counter("nats_connects", "Connections made to NATS.", registry)
        self._troubles = _counter("troubles", "Rounds that failed, by what.", registry, "missing")
        self._outrun = _counter("outrun", "Appends refused because the place was taken.", registry)
        self._healed = _counter("healed", "Streams healed, by finding.", registry, "finding")
        self._now = now
        self._heard_at_s = now()
        self._trouble: str | None = "starting"
        self._missing = ["database", "nats"]

    async def missing(self) -> list[str]:
        """Name what keeps the relay from relaying; empty when all is well."""
        if not self._missing and self._now() - self._heard_at_s > SILENT_AFTER_S:
            return ["progress"]
        return list(self._missing)

    def connected(self) -> None:
        """Count a connection to NATS."""
        self._connects.inc()

    def went_well(self, done: Round) -> None:
        """Take in what a round did."""
        self._head.set(max(done.head, done.position))
        self._position.set(done.position)
        self._lag.set(max(0, done.head - done.position))
        if done.published:
            self._events.inc(done.published)
            self._batches.inc()
        if done.heartbeat:
            self._heartbeats.inc()
        for finding in done.healed:
            self._healed.labels(finding.name.lower()).inc()
            _log.warning(
                "stream_healed",
                because=f"it {finding.value}",
                epoch=str(done.epoch),
                position=done.position,
            )
        self._heard_at_s = self._now()
        if self._trouble is not None:
            _log.info("relay_follows_the_log", epoch=str(done.epoch), position=done.position)
            self._trouble, self._missing = None, []

    def was_outrun(self, refusal: Exception) -> None:
        """Take in that somebody else appended first: nothing is missing, but it should be known."""
        self._outrun.inc()
        _log.warning("relay_outrun", refusal=str(refusal))

    def went_wrong(self, error: Exception) -> None:
        """Take in why a round, or a connection, failed; said once until it changes."""
        missing = _missing_because_of(error)
        self._troubles.labels(missing).inc()
        self._missing = [missing]
        trouble = f"{type(error).__name__}: {error}"
        if trouble != self._trouble:
            _log.warning("relay_waits", missing=missing, error=trouble)
            self._trouble = trouble


def _missing_because_of(error: Exception) -> str:
    match error:
        case NoAgreement() | NotAppended() | nats.js.errors.Error():
            return "stream"
        case nats.errors.Error():
            return "nats"
        case _:
            return "database"


def _gauge(name: str, meaning: str, registry: CollectorRegistry) -> Gauge:
    return Gauge(f"booking_relay_{name}", meaning, registry=registry)


def _counter(name: str, meaning: str, registry: CollectorRegistry, *labels: str) -> Counter:
    return Counter(f"booking_relay_{name}", meaning, labels, registry=registry)
