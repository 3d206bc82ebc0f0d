"""The whole system behind one port: `booking up`.

This process serves commands and queries; the relay and the projector are its children, like the
embedded servers. It says that it is ready only when every part answers and the read model has
caught up with the log as it was at the start. The one module that knows both sides.
"""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast
from urllib.parse import parse_qs, urlsplit

import asyncpg
import structlog

import booking.app
import projector.app
from booking.edge.application import EdgeApplication, http_app
from booking.edge.database import open_pool
from booking.edge.failures import Misconfigured
from booking.edge.health import what_helps
from booking.edge.metrics_listener import serve_metrics
from booking.edge.migrations import migrate
from booking.edge.serving import bind, serve, url_of
from booking.edge.settings import RUN_FILE, RunFile, write_run_file
from booking.embedded.python_part import PythonPart
from booking.embedded.readiness import is_ready
from booking.embedded.servers import Servers
from booking.embedded.supervision import keep_running
from booking.guards import GUARDS, chosen, laboratory, prepare
from booking.keys import store_initial
from booking.settings import Settings, load_settings

CHILDREN = {
    "relay": (("booking.cli", "relay"), "BOOKING_METRICS_PORT"),
    "projector": (("projector.cli", "run"), "PROJECTOR_METRICS_PORT"),
}
SCHEMA = Path(__file__).with_name("schema")
READY_DEADLINE_S = 600.0
"""A long log that has to be folded from its beginning is what may take minutes."""
REPORT_EVERY_S = 5.0
POLL_EVERY_S = 0.02

_log = structlog.get_logger("up")


async def run(
    servers: Servers, environ: Mapping[str, str], *, parts: Sequence[str], stop: asyncio.Event
) -> None:
    """Serve `parts` until `stop` is set; `environ` names the servers. Told to end while it starts, it begins nothing more.

    Raises:
        RuntimeError: the HTTP server ended by itself.
    """
    if stop.is_set():
        return
    settings = load_settings(environ)
    query_settings = projector.app.settings_from(environ)
    listener = bind(settings.host, settings.port, environment=settings.environment)
    url = url_of(listener)
    await migrate_both_sides(environ, last_line=servers.postgres is None)
    children = [
        PythonPart(
            name,
            command,
            environ=environ,
            port_variable=port_variable,
            inherited=[servers.lease.servers],
        )
        for name, (command, port_variable) in CHILDREN.items()
        if name in parts
    ]
    async with contextlib.AsyncExitStack() as stack:
        for child in children:
            stack.push_async_callback(child.stop)
            await child.start()
            if stop.is_set():
                return
        here = []
        if "api" in parts:
            here.append(await stack.enter_async_context(booking.app.open_part(settings)))
        if "queries" in parts:
            here.append(await stack.enter_async_context(projector.app.open_part(query_settings)))
        app = http_app(
            *here, environment=settings.environment, allowed_origins=settings.allowed_origins
        )
        metrics_url = await stack.enter_async_context(
            serve_metrics(
                {"up": app.registries} | {child.name: child.url for child in children},
                bound=bind(
                    settings.metrics_host, settings.metrics_port, variable="BOOKING_METRICS_PORT"
                ),
                missing=app.missing,
            )
        )
        write_run_file(servers.data_dir, _run_file(servers, settings, url, metrics_url))
        stack.callback((servers.data_dir / RUN_FILE).unlink, missing_ok=True)
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(serve(app, sockets=[listener], stop=stop), name="serve")
            serving.add_done_callback(lambda _: stop.set())
            watching = [
                tasks.create_task(keep_running(server), name=f"keep {server.name}")
                for server in (*servers.embedded, *children)
            ]
            watching.append(
                tasks.create_task(_announce(url, app, servers, children), name="announce")
            )
            await stop.wait()
            if serving.done():
                raise RuntimeError("the HTTP server ended by itself")
            for task in watching:
                task.cancel()
            # While requests in flight finish; a view that no longer moves does not hurt them.
            await asyncio.gather(*(child.stop() for child in children))


def on_paper() -> EdgeApplication:
    """The application that `run` serves, for its documents only: nothing is opened.

    `python -m booking.edge.published booking.all_in_one:on_paper` writes what every process serves.
    """
    return http_app(booking.app.part_on_paper(), projector.app.part_on_paper())


def _log_migration(name: str) -> None:
    _log.info("migrating", step=name)


async def migrate_both_sides(
    environ: Mapping[str, str],
    *,
    last_line: bool = True,
    progress: Callable[[str], None] = _log_migration,
) -> list[str]:
    """Bring both schemas up to date, store the first key, and return the names of files applied.

    Without `last_line` a guard that oversells loses the constraint that would still stop it: only in
    a database that was started here. Somebody else's keeps it, and an oversell there is a fault that
    names the constraint.

    Raises:
        Misconfigured: the database cannot be reached, or the login may not.
    """
    settings = load_settings(environ, needs=("migration_database_url",))
    url, variable = settings.migration_database_url, "BOOKING_MIGRATION_DATABASE_URL"
    if not environ.get(variable):
        variable = "BOOKING_DATABASE_URL"
    read_url, read_variable = environ.get("PROJECTOR_DATABASE_URL", ""), "PROJECTOR_DATABASE_URL"
    if not read_url or _place(read_url) == _place(settings.database_url or url):
        # One database; the projector's own login need not be one that may migrate.
        read_url, read_variable = url, variable
    component, folder = projector.app.migrations()
    applied = [
        *await migrate(
            url, component="booking", folder=SCHEMA, variable=variable, progress=progress
        ),
        *await migrate(
            read_url, component=component, folder=folder, variable=read_variable, progress=progress
        ),
    ]
    if settings.guard:
        await _prepare_the_laboratory(settings, last_line=last_line)
    if projector.app.reads_the_write_tables(environ):
        await _show_the_write_tables(settings)
    if settings.initial_key:
        pool = await open_pool(
            url,
            role="booking_owner",
            name="booking migrate",
            size_max=1,
            statement_timeout_ms=5000,
            variable=variable,
        )
        async with pool, pool.acquire() as connection:
            if await store_initial(cast("asyncpg.Connection", connection), settings.initial_key):
                progress("the key of BOOKING_INITIAL_KEY")
    return applied


def _place(url: str) -> tuple[str, ...]:
    """Return which database a URL means, whoever logs in."""
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2], parts.path, *parse_qs(parts.query).get("host", [])


async def _prepare_the_laboratory(settings: Settings, *, last_line: bool) -> None:
    """Make what the chosen guard needs beyond the product's schema; of the product's, nothing."""
    guard = GUARDS[chosen(settings.guard, environment=settings.environment)]
    connection = await asyncpg.connect(settings.migration_database_url)
    try:
        await prepare(connection, guard, last_line=last_line)
    finally:
        await connection.close()
    if guard.oversells and not last_line:
        _log.warning("last_line_removed", meaning="only the laboratory accepts this database now")


async def _show_the_write_tables(settings: Settings) -> None:
    """Give the readers views of the write side's tables, for the laboratory's CRUD arm."""
    connection = await asyncpg.connect(settings.migration_database_url)
    try:
        await laboratory.apply(connection, laboratory.WRITE_TABLES)
    finally:
        await connection.close()
    _log.warning("readers_see_the_write_tables", meaning="nothing is read from the read model")


async def _announce(
    url: str, app: EdgeApplication, servers: Servers, children: Sequence[PythonPart]
) -> None:
    """Print the one line when everything is there; say on standard error what is awaited."""
    begun = time.monotonic()
    report_at = begun + REPORT_EVERY_S
    while missing := await _missing(url, app, children):
        for child in children:
            if child.child is not None and child.child.exit_code == 2:
                raise Misconfigured(f"The {child.name} did not start: its own sentence is above.")
        if time.monotonic() > begun + READY_DEADLINE_S:
            raise Misconfigured(
                f"Not ready within {READY_DEADLINE_S:.0f} s, still missing: {', '.join(missing)}."
            )
        if time.monotonic() > report_at:
            report_at += REPORT_EVERY_S
            _log.info("waiting", missing=missing, what_helps=what_helps(missing))
        await asyncio.sleep(POLL_EVERY_S)
    await servers.settled()
    _log.info("ready", url=url, seconds=round(time.monotonic() - begun, 3))
    with contextlib.suppress(OSError):  # whoever started us may have stopped reading
        sys.stdout.write(f"booking is ready at {url}\n")
        sys.stdout.flush()


async def _missing(url: str, app: EdgeApplication, children: Sequence[PythonPart]) -> list[str]:
    """Name what is not ready yet; whoever does not answer is named as a whole."""
    asked = {"http": url} | {child.name: child.url for child in children}
    ready = await asyncio.gather(*(is_ready(place) for place in asked.values()))
    missing = [name for name, yes in zip(asked, ready, strict=True) if not yes]
    return [*(await app.missing() if "http" in missing else ()), *missing]


def _run_file(servers: Servers, settings: Settings, url: str, metrics_url: str) -> RunFile:
    postgres_bin = servers.postgres and servers.postgres.programs
    return RunFile(
        pid=os.getpid(),
        url=url,
        database_url=settings.database_url,
        migration_database_url=settings.migration_database_url,
        nats_url=settings.nats_url,
        nats_monitoring_url=settings.nats_monitoring_url,
        metrics_url=metrics_url,
        postgres_bin=None if postgres_bin is None else str(postgres_bin),
    )
