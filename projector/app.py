"""Where the read side is put together: the projector process, and the queries as a Part.

Everything is wired by hand and closed in the opposite order; nothing below knows a setting.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import structlog
from litestar.handlers import HTTPRouteHandler

from booking.edge.api_keys import KeyTable
from booking.edge.database import DatabaseClock, open_pool
from booking.edge.ending import end
from booking.edge.failures import Misconfigured
from booking.edge.parts import Part
from booking.edge.serving import bind, http_app, serve, serve_metrics, url_of
from booking.events.tokens import TokenCodec
from projector.api import bookings, inventory, operations
from projector.api.answers import Tokens
from projector.api.live import Live
from projector.api.live import routes as live_routes
from projector.api.log_heads import LogHeads
from projector.api.problems import PROBLEMS
from projector.api.wait import Reader
from projector.api.window import Window
from projector.consumer.due import Due
from projector.consumer.intake import Intake
from projector.consumer.metrics import ConsumerMetrics
from projector.consumer.projector import Projector
from projector.consumer.report import REPORT_S, report_forever
from projector.consumer.stream import Stream
from projector.follower import Follower
from projector.guards.checkpoint_compare_and_set import read_checkpoint
from projector.log_reader import is_last_line_removed, read_api_keys, read_token_secret
from projector.queries.report_query_node import report_query_node
from projector.settings import Settings, load_settings

STATEMENT_TIMEOUT_MS = 10_000
"""A batch of a thousand events takes tens of milliseconds; an epoch change empties whole tables."""

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


def process_name(kind: str) -> str:
    """A name that tells this process from all others that work on the same read model."""
    return f"{kind}-{socket.gethostname()}-{os.getpid()}"


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Project until `stop` is set: the process `projector run`.

    Raises:
        Misconfigured: a database cannot be reached or used.
    """
    name = process_name("projector")
    async with AsyncExitStack() as opened:
        read_model = await opened.enter_async_context(
            await open_pool(
                settings.database_url,
                role="projector_writer",
                name=name,
                size_max=2,
                statement_timeout_ms=STATEMENT_TIMEOUT_MS,
                variable="PROJECTOR_DATABASE_URL",
            )
        )
        log = await opened.enter_async_context(
            await open_pool(
                settings.log_database_url,
                role="projector_writer",
                name=f"{name}-log",
                size_max=2,
                statement_timeout_ms=STATEMENT_TIMEOUT_MS,
                variable="PROJECTOR_LOG_DATABASE_URL",
            )
        )
        await _refuse_unfit(read_model, log, settings)
        clock = await opened.enter_async_context(DatabaseClock(log))
        lag = timedelta(milliseconds=settings.injected_lag_ms)
        if lag:
            _log.warning("lag_is_injected", lag_ms=settings.injected_lag_ms)
        metrics = ConsumerMetrics()
        stream = Stream(settings.nats_url, name=name, start_after=lambda: intake.taken)
        intake = Intake(log, stream, Due(lag, clock.now_at_least))
        projector = Projector(
            read_model=read_model, log=log, stream=stream, intake=intake, metrics=metrics
        )

        async def missing() -> list[str]:
            working = projector.state in ("running", "standby")
            return [] if working else [projector.stopped_because or f"projector {projector.state}"]

        bound = _metrics_socket(settings)
        url = await opened.enter_async_context(
            serve_metrics({"projector": [metrics.registry]}, bound=bound, missing=missing)
        )
        _log.info("metrics_served", url=f"{url}/metrics")
        async with asyncio.TaskGroup() as tasks:
            beside = [
                tasks.create_task(stream.run(), name="stream"),
                tasks.create_task(
                    report_forever(read_model, name=name, projector=projector, stream=stream),
                    name="report",
                ),
            ]
            await projector.run(stop)
            await end(*beside)


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
            {"queries": app.registries}, bound=_metrics_socket(settings), missing=app.missing
        ) as url:
            _log.info("queries_served", url=url_of(bound), metrics_url=f"{url}/metrics")
            await serve(app, sockets=[bound], stop=stop)


def _metrics_socket(settings: Settings) -> socket.socket:
    return bind(
        settings.metrics_host,
        settings.metrics_port,
        variable="PROJECTOR_METRICS_PORT",
        environment=settings.environment,
    )


@asynccontextmanager
async def open_part(settings: Settings) -> AsyncIterator[Part]:
    """The queries as a Part; their pools and their ear on the change feed stay open with it.

    Raises:
        Misconfigured: a database cannot be reached or used.
    """
    name = process_name("queries")
    async with AsyncExitStack() as opened:
        read_model = await opened.enter_async_context(
            await open_pool(
                settings.database_url,
                role="query_reader",
                name=name,
                size_max=QUERY_CONNECTIONS,
                statement_timeout_ms=QUERY_TIMEOUT_MS,
                variable="PROJECTOR_DATABASE_URL",
            )
        )
        log = await opened.enter_async_context(
            await open_pool(
                settings.log_database_url,
                role="query_reader",
                name=f"{name}-log",
                size_max=LOG_CONNECTIONS,
                statement_timeout_ms=QUERY_TIMEOUT_MS,
                variable="PROJECTOR_LOG_DATABASE_URL",
            )
        )
        await _refuse_unfit(read_model, log, settings)
        clock = await opened.enter_async_context(DatabaseClock(log))
        keys = await opened.enter_async_context(KeyTable(partial(read_api_keys, log)))
        follower = await opened.enter_async_context(
            Follower(read_model, settings.nats_url, name=name)
        )
        heads = LogHeads(log)
        tokens = Tokens(TokenCodec(await read_token_secret(log)))
        reader = Reader(
            read_model=read_model, follower=follower, heads=heads, clock=clock, tokens=tokens
        )
        window = Window(reader, clock)
        live = Live(reader, follower, read_model)
        reporting = asyncio.create_task(
            _report_node(read_model, follower, name), name="query-node-report"
        )
        opened.callback(reporting.cancel)

        head = await heads.after_now()

        async def missing() -> list[str]:
            """Nobody should be sent here before what was true at the start can be told."""
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
                live=live,
                reader=reader,
                read_model=read_model,
                log=log,
                heads=heads,
                clock=clock,
            ),
            ready=missing,
            drain=live.drain,
            keys=keys,
            problems=PROBLEMS,
        )


def part_on_paper() -> Part:
    """The routes and problems alone, for documents: nothing is opened, so nothing can be answered."""
    nothing: Any = None
    return Part(
        name="queries",
        handlers=_routes(
            window=nothing,
            live=nothing,
            reader=nothing,
            read_model=nothing,
            log=nothing,
            heads=nothing,
            clock=nothing,
        ),
        problems=PROBLEMS,
    )


def _routes(
    *,
    window: Window,
    live: Live,
    reader: Reader,
    read_model: asyncpg.Pool,
    log: asyncpg.Pool,
    heads: LogHeads,
    clock: DatabaseClock,
) -> list[HTTPRouteHandler]:
    return [
        *inventory.routes(window, read_model),
        *bookings.routes(window, read_model),
        *live_routes(live, reader),
        *operations.routes(log=log, read_model=read_model, heads=heads, clock=clock),
    ]


async def _report_node(read_model: asyncpg.Pool, follower: Follower, name: str) -> None:
    """Say once a second how far this node has come."""
    while True:
        await asyncio.sleep(REPORT_S)
        standing = follower.standing
        if standing is None:
            continue
        try:
            await report_query_node(
                read_model, node=name, applied=standing.position, as_of=standing.as_of
            )
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            _log.warning("query_node_report_not_written", reason=str(error))


async def _refuse_unfit(read_model: asyncpg.Pool, log: asyncpg.Pool, settings: Settings) -> None:
    """Refuse databases without their schemas, and one whose last line of defence is gone.

    The roles of the read side cannot see the schema `booking`, let alone change its log, so there is
    nothing else to judge.
    """
    unmigrated = (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError)
    try:
        await read_checkpoint(read_model)
    except unmigrated as error:
        raise Misconfigured(
            "The database of PROJECTOR_DATABASE_URL has no read model yet: run `booking migrate`."
        ) from error
    try:
        removed = await is_last_line_removed(log)
    except unmigrated as error:
        raise Misconfigured(
            "The database of PROJECTOR_LOG_DATABASE_URL has no event log yet: run `booking migrate`."
        ) from error
    if removed and settings.environment != "laboratory":
        raise Misconfigured(
            "This database belongs to an experiment (its last line of defence was removed): use "
            "another one, or set BOOKING_ENVIRONMENT=laboratory."
        )
