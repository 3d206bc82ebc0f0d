"""Where the queries are put together: as a Part, and as the process `projector api`.

Everything is wired by hand and closed in the opposite order; nothing below knows a setting.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import asyncpg
import structlog
from litestar.handlers import HTTPRouteHandler

from booking.edge.api_keys import KeyTable
from booking.edge.database import DatabaseClock
from booking.edge.parts import Part
from booking.edge.serving import bind, http_app, serve, serve_metrics, url_of
from booking.edge.tickets import Tickets
from booking.events.tokens import TokenCodec
from projector.api import activity, bookings, histories, inventory, operations
from projector.api.answers import Tokens
from projector.api.live import Live, allowed_streams
from projector.api.live import routes as live_routes
from projector.api.live_metrics import LiveMetrics
from projector.api.log_heads import LogHeads
from projector.api.one_slot import OneSlot, OneSlotOfTheWriteTables
from projector.api.problem_extras import EXTRAS
from projector.api.problems import PROBLEMS
from projector.api.wait import Reader
from projector.api.window import Window
from projector.guards import GUARDS, THE_PRODUCTS, refuse_unknown
from projector.log_reader import read_api_keys, read_token_secret
from projector.queries.write_tables import WriteTables
from projector.replica.calendars import Calendars
from projector.replica.metrics import ReplicaMetrics
from projector.replica.node import open_query_node
from projector.settings import NAMES, Settings, load_settings
from projector.start import (
    choose_guard,
    metrics_socket,
    open_log,
    open_read_model,
    process_name,
    refuse_unfit,
)

ROLE = "query_reader"
QUERY_TIMEOUT_MS = 2_000
"""A read that takes longer is better refused: its answer would be old before it is sent."""
QUERY_CONNECTIONS = 8
"""More than two cores of Postgres can use; waiting reads hold none."""
LOG_CONNECTIONS = 4

_log = structlog.get_logger(__name__)


def migrations() -> tuple[str, Path]:
    """The component's name and the folder of its migrations, for `booking migrate`."""
    return "projector", Path(__file__).parent / "schema"


def settings_from(environ: Mapping[str, str]) -> Settings:
    """This side's settings, for `booking up`, which knows this module and no other of ours.

    Raises:
        Misconfigured: a variable is wrong or missing.
    """
    return load_settings(environ)


async def serve_queries(settings: Settings, stop: asyncio.Event) -> None:
    """Answer queries on a port of their own until `stop` is set: the process `projector api`.

    Raises:
        Misconfigured: a port or a database cannot be used.
    """
    bound = bind(
        settings.host,
        settings.port,
        variable="PROJECTOR_PORT",
        environment=settings.environment,
    )
    async with open_part(settings) as part:
        app = http_app(
            part, environment=settings.environment, allowed_origins=settings.allowed_origins
        )
        async with serve_metrics(
            {"queries": app.registries}, bound=metrics_socket(settings), missing=app.missing
        ) as url:
            _log.info("queries_served", url=url_of(bound), metrics_url=f"{url}/metrics")
            await serve(app, sockets=[bound], stop=stop)


def reads_the_write_tables(environ: Mapping[str, str]) -> bool:
    """Whether PROJECTOR_GUARD lets queries read the write side's tables: then these need its views.

    Raises:
        Misconfigured: it is no guard, or this is not the laboratory.
    """
    name = environ.get(NAMES["guard"], "").strip() or THE_PRODUCTS
    refuse_unknown(name, environment=environ.get(NAMES["environment"], "") or "production")
    return not GUARDS[name].read_model


@asynccontextmanager
async def open_part(settings: Settings) -> AsyncIterator[Part]:
    """The queries as a Part; their pools and their ear on the change feed stay open with it.

    Raises:
        Misconfigured: a database cannot be reached or used.
    """
    name = process_name("queries")
    guard = choose_guard(settings)
    reads_the_read_model = guard.read_model
    async with AsyncExitStack() as opened:
        read_model = await opened.enter_async_context(
            await open_read_model(
                settings,
                role=ROLE,
                name=name,
                size_max=QUERY_CONNECTIONS,
                statement_timeout_ms=QUERY_TIMEOUT_MS,
            )
        )
        log = await opened.enter_async_context(
            await open_log(
                settings,
                role=ROLE,
                name=name,
                size_max=LOG_CONNECTIONS if reads_the_read_model else QUERY_CONNECTIONS,
                statement_timeout_ms=QUERY_TIMEOUT_MS,
            )
        )
        await refuse_unfit(read_model, log, settings)
        clock = await opened.enter_async_context(DatabaseClock(log))
        keys = await opened.enter_async_context(KeyTable(partial(read_api_keys, log)))
        node = await opened.enter_async_context(
            open_query_node(settings, read_model, clock, name=name)
        )
        follower = node.follower
        heads = LogHeads(log)
        secret = await read_token_secret(log)
        tokens = Tokens(TokenCodec(secret))
        tables = read_model
        if not reads_the_read_model:
            tables = cast("asyncpg.Pool", WriteTables(log))
        reader = Reader(
            read_model=tables,
            follower=follower if reads_the_read_model else None,
            heads=heads,
            clock=clock,
            tokens=tokens,
            watermark=guard.watermark,
        )
        window = Window(reader, clock)
        live = Live(reader, follower, node.slots, read_model, streams_max=allowed_streams())
        reader.metrics.registry.register(ReplicaMetrics(node))
        reader.metrics.registry.register(LiveMetrics(live))
        head = await heads.after_now()

        async def missing() -> list[str]:
            """Nobody should be sent here before what was true at the start can be told."""
            if not reads_the_read_model:
                return []  # the tables that decide are never behind
            standing = follower.standing
            if standing is not None and (standing.epoch, standing.position) >= (
                head.epoch,
                head.position,
            ):
                return []
            return ["read model caught up with the log"]

        yield Part(
            name="queries",
            handlers=_routes(
                window=window,
                one_slot=(
                    OneSlot(window, reader, node.slots)
                    if reads_the_read_model
                    else OneSlotOfTheWriteTables(window, WriteTables(log))
                ),
                # Polling asks for every slot of what is watched each time: too much for whole resources.
                calendars=(
                    Calendars(read_model, follower)
                    if reads_the_read_model and node.feed is not None
                    else None
                ),
                live=live,
                reader=reader,
                read_model=tables,
                consistency_of=read_model,
                log=log,
                heads=heads,
                clock=clock,
            ),
            ready=missing,
            drain=live.drain,
            keys=keys,
            tickets=Tickets(secret, now_at_least=clock.now_at_least, now_at_most=clock.now_at_most),
            problems=PROBLEMS,
            extras=EXTRAS,
            metrics=reader.metrics.registry,
        )


def part_on_paper() -> Part:
    """The routes and problems alone, for documents: nothing is opened, so nothing can be answered."""
    nothing: Any = None
    return Part(
        name="queries",
        handlers=_routes(
            window=nothing,
            one_slot=nothing,
            calendars=nothing,
            live=nothing,
            reader=nothing,
            read_model=nothing,
            consistency_of=nothing,
            log=nothing,
            heads=nothing,
            clock=nothing,
        ),
        problems=PROBLEMS,
        extras=EXTRAS,
    )


def _routes(
    *,
    window: Window,
    one_slot: OneSlot | OneSlotOfTheWriteTables,
    calendars: Calendars | None,
    live: Live,
    reader: Reader,
    read_model: asyncpg.Pool,
    consistency_of: asyncpg.Pool,
    log: asyncpg.Pool,
    heads: LogHeads,
    clock: DatabaseClock,
) -> list[HTTPRouteHandler]:
    return [
        *inventory.routes(window, one_slot, calendars, read_model),
        *bookings.routes(window, read_model),
        *activity.routes(window, read_model),
        *histories.routes(window, read_model, log),
        *live_routes(live, reader),
        *operations.routes(log=log, read_model=consistency_of, heads=heads, clock=clock),
    ]
