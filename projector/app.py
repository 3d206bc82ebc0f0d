"""Where the read side is put together: the projector process, and the queries as a Part.

Everything is wired by hand and closed in the opposite order; nothing below knows a setting.
"""

import asyncio
import os
import socket
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import structlog

from booking.edge.database import DatabaseClock, open_pool
from booking.edge.serving import bind, serve_metrics
from projector.consumer.due import Due
from projector.consumer.intake import Intake
from projector.consumer.metrics import ConsumerMetrics
from projector.consumer.projector import Projector
from projector.consumer.report import report_forever
from projector.consumer.stream import Stream
from projector.settings import Settings

STATEMENT_TIMEOUT_MS = 10_000
"""A batch of a thousand events takes tens of milliseconds; an epoch change empties whole tables."""

_log = structlog.get_logger(__name__)


def migrations() -> tuple[str, Path]:
    """The component's name and the folder of its migrations, for `booking migrate`."""
    return "projector", Path(__file__).parent / "schema"


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

        bound = bind(
            settings.metrics_host,
            settings.metrics_port,
            variable="PROJECTOR_METRICS_PORT",
            environment=settings.environment,
        )
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
            for task in beside:
                task.cancel()
