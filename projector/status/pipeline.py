"""One look at the whole pipeline: every source asked at the same time, each answer or its reason."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from booking.edge.failures import Misconfigured
from booking.edge.settings import read_run_file
from projector.settings import DATA_DIR
from projector.status.consistency import Consistency
from projector.status.fetch import NotTold, fetch
from projector.status.jetstream import JetStreamView, look_at_jetstream
from projector.status.measures import Measures, read_measures

CATCHES_UP_WITHIN_S = 2.0
"""The relay needs a tenth of a second for what was committed, or is told at once."""
LOOK_AGAIN_AFTER_S = 0.1

T = TypeVar("T")


class Sources(Struct, frozen=True, kw_only=True):
    """Where to ask."""

    url: str
    """Of the queries."""
    key: str | None = None
    monitoring_url: str | None = None
    metrics_urls: Sequence[str] = ()


class Pipeline(Struct, frozen=True, kw_only=True):
    """What was told; `silent` are the sentences of the sources that did not answer, `untold` of those not asked."""

    consistency: Consistency | None
    jetstream: JetStreamView | None
    measures: Measures | None
    silent: list[str]
    untold: list[str]
    stream_lacks: int = 0
    """Events that the log has had for more than `CATCHES_UP_WITHIN_S` and the stream has not."""

    @property
    def log_position(self) -> int | None:
        """Where the log ends."""
        log = self.consistency.log if self.consistency else None
        return log.position if log else None

    @property
    def stream_position(self) -> int | None:
        """Where the stream ends, by the NATS server: what projectors said of it may be old."""
        stream = self.jetstream.stream if self.jetstream else None
        return stream.last_seq if stream else None

    def lacking(self, position: int) -> int:
        """How many events up to a position are not in the stream; 0 where nobody tells of it."""
        return 0 if self.stream_position is None else max(0, position - self.stream_position)


def sources(
    environ: Mapping[str, str],
    *,
    url: str | None,
    key: str | None,
    monitoring_url: str | None,
    metrics_urls: Sequence[str],
) -> Sources:
    """Where to ask: what is given, else the settings, else the `booking up` of this machine.

    Raises:
        Misconfigured: neither a URL of the queries is given nor does a `booking up` run.
    """
    data_dir = Path(environ.get("BOOKING_DATA_DIR", DATA_DIR))
    running = read_run_file(data_dir)
    set_to = environ.get("PROJECTOR_NATS_MONITORING_URL") or environ.get(
        "BOOKING_NATS_MONITORING_URL"
    )
    if url is not None:
        return Sources(
            url=url, key=key, monitoring_url=monitoring_url or set_to, metrics_urls=metrics_urls
        )
    if running is None:
        raise Misconfigured(f"No `booking up` runs on {data_dir}: start it, or give --url.")
    return Sources(
        url=running.url,
        key=key,
        monitoring_url=monitoring_url or set_to or running.nats_monitoring_url or None,
        metrics_urls=metrics_urls or [running.metrics_url],
    )


def look(at: Sources) -> Pipeline:
    """Ask all sources at once; while the stream is behind the log, again, for whether it stays so.

    A healthy stream is behind for some milliseconds after every commit: only what it still lacks
    `CATCHES_UP_WITHIN_S` later says something.
    """
    seen = _ask(at)
    awaited = seen.log_position or 0
    ends_s = time.monotonic() + CATCHES_UP_WITHIN_S
    while lacking := seen.lacking(awaited):
        if time.monotonic() > ends_s:
            return msgspec.structs.replace(seen, stream_lacks=lacking)
        time.sleep(LOOK_AGAIN_AFTER_S)
        seen = _ask(at)
    return seen


def _ask(at: Sources) -> Pipeline:
    silent: list[str] = []
    untold: list[str] = []

    def told(asked: "Future[T] | None", otherwise: str) -> T | None:
        if asked is None:
            untold.append(otherwise)
            return None
        try:
            return asked.result()
        except NotTold as reason:
            silent.append(str(reason))
            return None

    with ThreadPoolExecutor(max_workers=3) as asking:
        consistency = asking.submit(_consistency, at, fetch)
        jetstream = (
            asking.submit(look_at_jetstream, at.monitoring_url, fetch)
            if at.monitoring_url
            else None
        )
        measures = asking.submit(read_measures, at.metrics_urls, fetch) if at.metrics_urls else None
        return Pipeline(
            consistency=told(consistency, ""),
            jetstream=told(
                jetstream, "JetStream is not looked at: give --nats-monitoring-url, or set it."
            ),
            measures=told(measures, "Relay and batches are not looked at: give --metrics-url."),
            silent=silent,
            untold=untold,
        )


def _consistency(at: Sources, fetch: Callable[..., bytes]) -> Consistency:
    answer = fetch(f"{at.url.rstrip('/')}/v1/consistency", key=at.key)
    try:
        return msgspec.json.decode(answer, type=Consistency)
    except msgspec.DecodeError as error:
        raise NotTold(f"{at.url} answers, but is not the queries' address.") from error
