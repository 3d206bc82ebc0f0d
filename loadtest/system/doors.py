"""API processes in front of one database, and what each counts of itself: batches by size, calls run again because of a deadlock.

Whoever wants to know whether processes get into each other's way sends people to all. Of somebody's deployment there is one address, whatever
stands behind it, and nothing is counted.
"""

import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Sequence

from loadtest.driver import Client
from loadtest.system import System
from loadtest.system.metrics import read_metrics

DEADLOCK = "DeadlockDetectedError"
ALL = "+Inf"
"""Batches of any size."""


class Doors:
    """The API processes: a client to each."""

    def __init__(self, clients: Sequence[Client], metrics_urls: Sequence[str]) -> None:
        self.clients = clients
        self._metrics_urls = metrics_urls

    @contextlib.asynccontextmanager
    async def counting(self, note: Callable[..., None]) -> AsyncIterator[None]:
        """Notes (a record's way to) as `counted` what happened inside: batches up to each size, and deadlocks."""
        before = [await _counted(url) for url in self._metrics_urls]
        yield
        after = [await _counted(url) for url in self._metrics_urls]
        if after:
            changes = [
                {name: now[name] - then.get(name, 0.0) for name in now}
                for then, now in zip(before, after, strict=True)
            ]
            names = {name for change in changes for name in change}
            told = {name: sum(change.get(name, 0.0) for change in changes) for name in names}
            note(counted=dict(sorted(told.items())))


async def _counted(url: str) -> dict[str, float]:
    sizes = await read_metrics(url, label="le")
    errors = await read_metrics(url, label="error")
    counted = {size: n for (name, size), n in sizes.items() if name == "booking_batch_size_bucket"}
    return counted | {DEADLOCK: errors.get(("booking_reruns_total", DEADLOCK), 0.0)}


@contextlib.asynccontextmanager
async def open_doors(system: System, *, others: int = 0) -> AsyncIterator[Doors]:
    """The system's own API and so many `others` beside it; of somebody's deployment its address alone.

    Raises:
        CannotRunError: one does not start.
    """
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(system.client())]
        if not system.is_ours:
            yield Doors(clients, [])
            return
        metrics_urls = [system.run_file().metrics_url]
        for _ in range(others):
            port = _free_port()
            part = await system.part("api", {"BOOKING_METRICS_PORT": str(port)})
            clients.append(await stack.enter_async_context(system.client(part.url)))
            metrics_urls.append(f"http://127.0.0.1:{port}")
        yield Doors(clients, metrics_urls)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
