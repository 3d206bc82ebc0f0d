"""The composition root of the write side: pools, clock, guard, batcher, routes, wired by hand.

`open_part` opens everything, yields the Part that the HTTP application is made of, and closes
everything in order: what was queued is decided before the pools go.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg
import structlog
from litestar.handlers import HTTPRouteHandler

from booking import keys
from booking.api import bookings, commands, inventory
from booking.api.desk import Desk
from booking.api.problems import PROBLEMS
from booking.attempts import STATEMENT_TIMEOUT_MS, Attempts
from booking.batcher import Batcher
from booking.edge.api_keys import KeyTable
from booking.edge.database import DatabaseClock, open_pool, refuse_unsafe
from booking.edge.parts import Part
from booking.edge.serving import bind, http_app, serve, serve_metrics, url_of
from booking.events.tokens import TokenCodec
from booking.guards import GUARDS, THE_PRODUCTS, chosen, records
from booking.injected_fault import with_fault
from booking.inventory import Inventory
from booking.measures import Measures
from booking.settings import Settings
from booking.wake import Wake

ROLE = "booking_writer"
DECIDING_CONNECTIONS_MAX = 2
"""One batch is in flight at a time; the second is for the moment after a connection was lost."""
OTHER_CONNECTIONS_MAX = 4
"""Inventory commands, `/v1/commands`, API keys, clock and health, never in the way of batches."""
DRAIN_DEADLINE_S = 5.0

_log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_part(settings: Settings) -> AsyncIterator[Part]:
    """Open the write side and yield its Part.

    Raises:
        Misconfigured: a setting is wrong, the database cannot be used, or is unsafe to use.
    """
    guard = chosen(settings.guard, environment=settings.environment)
    take = with_fault(GUARDS[guard], settings.fault, environment=settings.environment)
    if guard != THE_PRODUCTS:
        _log.warning("guard_is_off", guard=guard, meaning="this process can oversell")
    measures = Measures()
    async with AsyncExitStack() as stack:
        deciding = await _pool(stack, settings, "booking-batcher", DECIDING_CONNECTIONS_MAX)
        others = await _pool(stack, settings, "booking-api", OTHER_CONNECTIONS_MAX)
        async with others.acquire() as connection:
            await refuse_unsafe(connection, environment=settings.environment, role=ROLE)
        tokens = TokenCodec(await records.token_secret(others))
        clock = await stack.enter_async_context(DatabaseClock(others))
        key_table = await stack.enter_async_context(KeyTable(lambda: keys.load(others)))
        wake = await stack.enter_async_context(Wake(settings.nats_url))

        batcher = Batcher(
            take,
            Attempts(deciding, on_rerun=measures.rerun),
            on_batch=measures.batch,
            on_accepted=wake.ring,
        )
        measures.watch_queue(lambda: batcher.depth)
        stack.push_async_callback(_finish, batcher)
        singly = Inventory(Attempts(others, on_rerun=measures.rerun), on_accepted=wake.ring)
        desk = Desk(
            batcher=batcher, inventory=singly, clock=clock, tokens=tokens, measures=measures
        )

        async def missing() -> list[str]:
            lacking = [] if await records.is_there(others) else ["log-head"]
            if settings.environment == "production" and not key_table.live:
                lacking.append("api-keys")
            return lacking

        def drain() -> None:
            batcher.drain()
            singly.drain()

        yield Part(
            name="booking",
            handlers=_routes(desk, lambda caller, key: records.recall(others, caller, key)),
            ready=missing,
            drain=drain,
            metrics=measures.registry,
            keys=key_table,
            problems=PROBLEMS,
        )


def part_on_paper() -> Part:
    """The routes and problems alone, for documents: nothing is opened, so nothing can be decided."""
    nothing: Any = None
    return Part(name="booking", handlers=_routes(nothing, nothing), problems=PROBLEMS)


def _routes(desk: Desk, recall: commands.Recall) -> list[HTTPRouteHandler]:
    return [*inventory.routes(desk), *bookings.routes(desk), *commands.routes(desk, recall)]


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Serve the commands alone until `stop` is set: the process `booking api`.

    Raises:
        Misconfigured: as `open_part`, or an address that cannot be served.
    """
    listener = bind(settings.host, settings.port, environment=settings.environment)
    metrics_listener = bind(
        settings.metrics_host, settings.metrics_port, variable="BOOKING_METRICS_PORT"
    )
    async with open_part(settings) as part:
        app = http_app(
            part, environment=settings.environment, allowed_origins=settings.allowed_origins
        )
        async with serve_metrics(
            {"api": app.registries}, bound=metrics_listener, missing=app.missing
        ) as metrics_url:
            _log.info("serving", url=url_of(listener), metrics_url=metrics_url)
            await serve(app, sockets=[listener], stop=stop)


async def _pool(
    stack: AsyncExitStack, settings: Settings, name: str, size_max: int
) -> asyncpg.Pool:
    pool = await open_pool(
        settings.database_url,
        role=ROLE,
        name=name,
        size_max=size_max,
        statement_timeout_ms=STATEMENT_TIMEOUT_MS,
        variable="BOOKING_DATABASE_URL",
    )
    stack.push_async_callback(_close, pool)
    return pool


async def _close(pool: asyncpg.Pool) -> None:
    """Close politely, but not for longer than a process may take to end."""
    try:
        async with asyncio.timeout(2):
            await pool.close()
    except TimeoutError:
        pool.terminate()


async def _finish(batcher: Batcher) -> None:
    """Let what is queued be decided."""
    try:
        async with asyncio.timeout(DRAIN_DEADLINE_S):
            await batcher.stop()
    except TimeoutError:
        _log.warning("not_everything_decided", waiting=batcher.depth)
