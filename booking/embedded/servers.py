"""The servers of `booking up`: both embedded, or one, or none, as the settings say.

They start side by side (one second instead of two is what a demonstration notices), and while they
do, whoever asked for them can import the rest of the system.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from booking.edge.failures import Misconfigured
from booking.embedded.lease import Lease
from booking.embedded.nats_server import NatsServer
from booking.embedded.postgres import Postgres, create_database


class Servers:
    """`async with Servers(data_dir, environ) as servers`: Postgres and NATS answer."""

    def __init__(self, data_dir: Path, environ: Mapping[str, str]) -> None:
        """Decide what to embed: each server whose URL is not in `environ`.

        Raises:
            Misconfigured: only half of a server's settings are there.
        """
        self.data_dir = data_dir
        self.urls: dict[str, str] = {}
        """Settings to add to the environment of every part."""
        self.lease = Lease(data_dir)
        self.postgres: Postgres | None = None
        self.nats: NatsServer | None = None
        self._embed_postgres = _is_to_be_embedded(
            environ, "BOOKING_DATABASE_URL", "BOOKING_MIGRATION_DATABASE_URL"
        )
        self._embed_nats = _is_to_be_embedded(
            environ, "BOOKING_NATS_URL", "BOOKING_NATS_MONITORING_URL"
        )
        self._stack = contextlib.AsyncExitStack()

    @property
    def embedded(self) -> list[Postgres | NatsServer]:
        """What runs here and has to be kept running."""
        return [server for server in (self.postgres, self.nats) if server is not None]

    async def settled(self) -> None:
        """Return when what was made at this start would survive the machine."""
        if self.postgres is not None:
            await self.postgres.settled()

    async def __aenter__(self) -> Self:
        """Take the data directory and start; both answer when this returns."""
        await self._stack.enter_async_context(self.lease)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._start_postgres())
                tasks.create_task(self._start_nats())
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop them, then give the directory back."""
        await self._stack.__aexit__(kind, error, trace)

    async def _start_postgres(self) -> None:
        if not self._embed_postgres:
            return
        postgres = Postgres(
            self.data_dir / "postgres", durable=True, inherited=[self.lease.servers]
        )
        self.postgres = await self._stack.enter_async_context(postgres)
        url = await create_database(postgres)
        self.urls |= {"BOOKING_DATABASE_URL": url, "BOOKING_MIGRATION_DATABASE_URL": url}

    async def _start_nats(self) -> None:
        if not self._embed_nats:
            return
        nats = NatsServer(self.data_dir / "nats", inherited=[self.lease.servers])
        self.nats = await self._stack.enter_async_context(nats)
        self.urls |= {
            "BOOKING_NATS_URL": nats.url,
            "BOOKING_NATS_MONITORING_URL": nats.monitoring_url,
        }


def _is_to_be_embedded(environ: Mapping[str, str], url: str, second_url: str) -> bool:
    if environ.get(url):
        return False
    if environ.get(second_url):
        raise Misconfigured(f"{second_url} is set and {url} is not: set both, or none to embed it.")
    return True
