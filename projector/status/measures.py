"""What the processes count about themselves, from their metrics listeners: the relay and the batches.

A listener shows one process, or with `booking up` all of them under the label `process`. Names are
those of docs/operations.md; a name that is missing is simply not shown.
"""

from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families

from projector.status.fetch import NotTold

SHARED = frozenset(
    {
        "booking_relay_stream_position",
        "booking_relay_lag_events",
        "projector_dead_letters",
        "projector_drift_rows",
    }
)
"""What several listeners tell of the same thing, the one stream or the one read model."""
UP = "process_up"
"""What a listener tells of each process it shows: 1 when it answered."""


class Measures(Struct, frozen=True, kw_only=True):
    """The figures of the table; None where no listener told them."""

    down: list[str]
    """Processes that did not answer the listener that shows them, by name."""
    relay_position: int | None
    """Where the relay saw the stream end."""
    relay_lag_events: int | None
    relay_healed: int | None
    """How often the relay made the stream again or filled it up, since it started."""
    relay_connects: int | None
    commands_queued: int | None
    commands_per_batch: float | None
    """Mean since the start."""
    events_per_batch: float | None
    dead_letters: int | None
    drift: int | None
    """Rows that the last `projector verify` found wrong."""


def read_measures(urls: Iterable[str], fetch: Callable[[str], bytes]) -> Measures:
    """The figures of all listeners together.

    Raises:
        NotTold: a listener does not answer, or tells no metrics.
    """
    totals: dict[str, float] = {}
    down: set[str] = set()
    for url in urls:
        try:
            families = list(text_string_to_metric_families(fetch(_page(url)).decode()))
        except (ValueError, UnicodeDecodeError) as error:
            raise NotTold(f"{url} is no metrics listener.") from error
        for family in families:
            for sample in family.samples:
                if sample.name == UP and not sample.value:
                    down.add(sample.labels.get("process", url))
                before = totals.get(sample.name, 0.0)
                totals[sample.name] = (
                    max(before, sample.value) if sample.name in SHARED else before + sample.value
                )
    return Measures(
        down=sorted(down),
        relay_position=_whole(totals, "booking_relay_stream_position"),
        relay_lag_events=_whole(totals, "booking_relay_lag_events"),
        relay_healed=_whole(totals, "booking_relay_healed_total"),
        relay_connects=_whole(totals, "booking_relay_nats_connects_total"),
        commands_queued=_whole(totals, "booking_queue_depth"),
        commands_per_batch=_mean(totals, "booking_batch_size_sum", "booking_batch_size_count"),
        events_per_batch=_mean(
            totals, "projector_events_applied_total", "projector_batches_applied_total"
        ),
        dead_letters=_whole(totals, "projector_dead_letters"),
        drift=_whole(totals, "projector_drift_rows"),
    )


def _page(url: str) -> str:
    return url if url.rstrip("/").endswith("/metrics") else f"{url.rstrip('/')}/metrics"


def _whole(totals: Mapping[str, float], name: str) -> int | None:
    return int(totals[name]) if name in totals else None


def _mean(totals: Mapping[str, float], summed: str, counted: str) -> float | None:
    if not totals.get(counted):
        return None
    return totals.get(summed, 0.0) / totals[counted]
