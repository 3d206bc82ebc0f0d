"""The second listener of every process: metrics and health, away from the API's address.

One process shows its own metrics; a parent shows those of its children, too, fetched when somebody
scrapes, each sample under a label `process`. A child that does not answer is shown as down, not waited for.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec
from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from booking.edge.answers import Answer
from booking.edge.health import Missing, what_is_missing
from booking.edge.servers import serve, url_of

if TYPE_CHECKING:  # the relay and the projector start in half the time without the framework
    from litestar.types import Receive, Scope, Send

FETCH_TIMEOUT_S = 1.0
FETCH_SIZE_MAX = 4 * 1024 * 1024

Source = Sequence[CollectorRegistry] | str
"""A process: its registries when it is this one, the URL of its metrics listener when it is a child."""


@contextlib.asynccontextmanager
async def serve_metrics(
    sources: Mapping[str, Source], *, bound: socket.socket, missing: Missing
) -> AsyncIterator[str]:
    """Serves `/metrics` and `/health/*` while the context lasts, and yields the listener's URL.

    Args:
        sources: by name of the process; with more than one, samples carry the label `process`.
        bound: from `bind`; closed at the end.
        missing: what the process lacks to be ready, see `EdgeApplication.missing`.
    """
    stop = asyncio.Event()
    listener = _Listener(sources, missing)
    url = url_of(bound)
    serving = asyncio.create_task(
        serve(listener, sockets=[bound], stop=stop), name="metrics-listener"
    )
    try:
        yield url
    finally:
        stop.set()
        await serving


class _Listener:
    def __init__(self, sources: Mapping[str, Source], missing: Missing) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # one more series each, unread
        self._sources = sources
        self._missing = missing
        self._own = CollectorRegistry()
        ProcessCollector(registry=self._own)

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        answer = await self._answer(scope["path"])
        await answer(scope, receive, send)

    async def _answer(self, path: str) -> Answer:
        match path:
            case "/metrics":
                text = generate_latest(_Shown(await self._families()))
                return Answer(200, text, media_type=CONTENT_TYPE_PLAIN_0_0_4.encode())
            case "/health/live":
                return Answer(200, b'{"status":"live"}')
            case "/health/ready":
                missing = await what_is_missing({"process": self._missing})
                status = "unavailable" if missing else "ready"
                body = msgspec.json.encode({"status": status, "missing": missing})
                return Answer(503, body, [(b"retry-after", b"1")]) if missing else Answer(200, body)
            case _:
                return Answer(404, b'{"status":"not-found"}')

    async def _families(self) -> list[Metric]:
        labelled = len(self._sources) > 1
        read = await asyncio.gather(*(self._read(source) for source in self._sources.values()))
        families: dict[str, Metric] = {}
        up = GaugeMetricFamily("process_up", "Whether a process answers.", labels=["process"])
        for name, found in zip(self._sources, read, strict=True):
            up.add_metric([name], float(found is not None))
            for family in found or ():
                whole = families.setdefault(
                    family.name, Metric(family.name, family.documentation, family.type)
                )
                whole.samples += _labelled(family.samples, name) if labelled else family.samples
        return [*families.values(), up]

    async def _read(self, source: Source) -> list[Metric] | None:
        if not isinstance(source, str):
            registries = [self._own, *source]
            return [family for registry in registries for family in registry.collect()]
        try:
            async with asyncio.timeout(FETCH_TIMEOUT_S):
                return list(text_string_to_metric_families(await _fetch(source)))
        except (OSError, TimeoutError, ValueError):
            return None


class _Shown(CollectorRegistry):
    """Families already collected, as the exposition wants them."""

    def __init__(self, families: Iterable[Metric]) -> None:
        super().__init__()
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _labelled(samples: Iterable[Sample], process: str) -> list[Sample]:
    return [sample._replace(labels={"process": process, **sample.labels}) for sample in samples]


async def _fetch(url: str) -> str:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(
            f"GET /metrics HTTP/1.0\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode()
        )
        raw = await _read_bounded(reader)
    finally:
        writer.close()
    head, _, body = raw.partition(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n", 1)[0]:
        raise ValueError(f"no metrics at {url}")
    return body.decode()


async def _read_bounded(reader: asyncio.StreamReader) -> bytes:
    chunks, size = [], 0
    while size < FETCH_SIZE_MAX and (chunk := await reader.read(65536)):
        chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks)
