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
from booking.api import bookings, commands, inventory, slots, tickets
from booking.api.desk import Desk
from booking.api.problem_extras import EXTRAS
from booking.api.problems import PROBLEMS
from booking.attempts import STATEMENT_TIMEOUT_MS, Attempts
from booking.batcher import Batcher
from booking.edge.api_keys import KeyTable
from booking.edge.database import DatabaseClock, open_pool, refuse_unsafe
from booking.edge.parts import Part
from booking.edge.serving import bind, http_app, serve, serve_metrics, url_of
from booking.edge.tickets import Tickets
from booking.events.tokens import TokenCodec
from booking.guards import GUARDS, THE_PRODUCTS, chosen, inventory_of_an_arm, records
from booking.injected_fault import with_fault
from booking.inventory import Inventory
from booking.measures import Measures
from booking.periodic import Periodic
from booking.settings import Settings
from booking.sweeper import INTERVAL_S, Sweeper
from booking.wake import Wake

ROLE = "booking_writer"
SPARE_CONNECTIONS = 1
"""Beside one per batch in flight: for the moment after a connection was lost. The clock and the question
whether the database is there take it for a millisecond: without the clock's word nothing is decided."""
OTHER_CONNECTIONS_MAX = 4
"""Inventory commands, `/v1/commands` and API keys, never in the way of batches."""
DRAIN_DEADLINE_S = 5.0
FORGET_INTERVAL_S = 3600.0
"""Records of commands are kept for 24 h at least, so they may be kept an hour longer."""

_log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_part(settings: Settings, *, sweeping: bool = True) -> AsyncIterator[Part]:
    """Open the write side and yield its Part; `sweeping` off leaves expired holds to those who need them.

    Raises:
        Misconfigured: a setting is wrong, the database cannot be used, or is unsafe to use.
    """
    name = chosen(settings.guard, environment=settings.environment)
    guard = GUARDS[name]
    take = with_fault(guard.take, settings.fault, environment=settings.environment)
    if name != THE_PRODUCTS:
        _log.warning("guard_is_not_the_products", guard=name, can_oversell=guard.oversells)
    measures = Measures()
    async with AsyncExitStack() as stack:
        deciding = await _pool(
            stack, settings, "booking-batcher", guard.in_flight_max + SPARE_CONNECTIONS
        )
        others = await _pool(stack, settings, "booking-api", OTHER_CONNECTIONS_MAX)
        async with others.acquire() as connection:
            await refuse_unsafe(connection, environment=settings.environment, role=ROLE)
        secret = await records.token_secret(others)
        tokens = TokenCodec(secret)
        clock = await stack.enter_async_context(DatabaseClock(deciding))
        browsers = Tickets(secret, now_at_least=clock.now_at_least, now_at_most=clock.now_at_most)
        key_table = await stack.enter_async_context(KeyTable(lambda: keys.load(others)))
        wake = await stack.enter_async_context(Wake(settings.nats_url))

        batcher = Batcher(
            take,
            Attempts(deciding, on_rerun=measures.rerun),
            batch_size_max=guard.batch_size_max,
            in_flight_max=guard.in_flight_max,
            halving=guard.halving,
            on_batch=measures.batch,
            on_accepted=wake.ring,
        )
        measures.watch_queue(lambda: batcher.depth)
        stack.push_async_callback(_finish, batcher)
        upkeep = [
            Periodic("forget", lambda: records.forget_old(others), interval_s=FORGET_INTERVAL_S)
        ]
        if sweeping and name == THE_PRODUCTS:  # the other arms know no expiry
            sweeper = Sweeper(others, batcher)
            upkeep.append(Periodic("sweep", sweeper.run_once, interval_s=INTERVAL_S))
        for work in upkeep:
            await stack.enter_async_context(work)
        singly = Inventory(
            Attempts(others, on_rerun=measures.rerun),
            on_accepted=wake.ring,
            refusing=None if guard.complete else inventory_of_an_arm.refusing,
        )
        desk = Desk(
            batcher=batcher, inventory=singly, clock=clock, tokens=tokens, measures=measures
        )

        async def missing() -> list[str]:
            lacking = [] if await records.is_there(deciding) else ["log-head"]
            if settings.environment == "production" and not key_table.live:
                lacking.append("api-keys")
            return lacking

        def drain() -> None:
            for work in upkeep:
                work.stop()
            batcher.drain()
            singly.drain()

        yield Part(
            name="booking",
            handlers=_routes(
                desk, lambda caller, key: records.recall(others, caller, key), browsers
            ),
            ready=missing,
            drain=drain,
            metrics=measures.registry,
            keys=key_table,
            tickets=browsers,
            problems=PROBLEMS,
            extras=EXTRAS,
        )


def part_on_paper() -> Part:
    """The routes and problems alone, for documents: nothing is opened, so nothing can be decided."""
    nothing: Any = None
    return Part(
        name="booking",
        handlers=_routes(nothing, nothing, nothing),
        problems=PROBLEMS,
        extras=EXTRAS,
    )


def _routes(desk: Desk, recall: commands.Recall, browsers: Tickets) -> list[HTTPRouteHandler]:
    return [
        *inventory.routes(desk),
        *slots.routes(desk),
        *bookings.routes(desk),
        *commands.routes(desk, recall),
        *tickets.routes(browsers),
    ]


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
