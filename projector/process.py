"""The projector as a process: its pools, its ear on NATS and its metrics around the one loop.

Everything is wired by hand and closed in the opposite order; nothing below knows a setting.
"""

import asyncio
import gc
import math
from contextlib import AsyncExitStack
from datetime import timedelta

import structlog

from booking.edge.database import DatabaseClock, NoDatabaseTime
from booking.edge.ending import end
from booking.edge.metrics_listener import serve_metrics
from projector.consumer.due import Due
from projector.consumer.intake import Intake
from projector.consumer.metrics import ConsumerMetrics
from projector.consumer.projector import Projector
from projector.consumer.report import report_forever
from projector.consumer.silence import Silence, Source
from projector.consumer.stand_by import TAKE_OVER_S
from projector.consumer.stream import Stream
from projector.queries.report_projector import leave
from projector.settings import Settings
from projector.start import (
    choose_guard,
    metrics_socket,
    open_log,
    open_read_model,
    process_name,
    refuse_unfit,
)

ROLE = "projector_writer"
STATEMENT_TIMEOUT_MS = 10_000
"""A batch of a thousand events takes tens of milliseconds; an epoch change empties whole tables."""
LOG_STATEMENT_TIMEOUT_MS = 2_000
"""No snapshot of the write database lives longer; a page of events takes milliseconds, one of a
rebuild 0.1 s (and it asks for half as much when that is too long)."""
# The read model can be folded again, so its commits need not wait for the disk. Statements are
# planned once and kept; a plan from the time when a table was empty must not scan it for ever.
SESSION = {"synchronous_commit": "off", "enable_seqscan": "off"}
GARBAGE_AFTER = 50_000
"""Objects made and not freed before the collector looks for cycles. Events have none and go with
their batch; looking after every 700 took a fifth of the time."""
CONNECTIONS = 2
"""One that moves the checkpoint, one for everything else."""

_log = structlog.get_logger(__name__)


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Project until `stop` is set: the process `projector run`.

    Raises:
        Misconfigured: a database cannot be reached or used.
    """
    name = process_name("projector")
    gc.set_threshold(GARBAGE_AFTER)
    async with AsyncExitStack() as opened:
        read_model = await opened.enter_async_context(
            await open_read_model(
                settings,
                role=ROLE,
                name=name,
                size_max=CONNECTIONS,
                statement_timeout_ms=STATEMENT_TIMEOUT_MS,
                server_settings=SESSION,
            )
        )
        log = await opened.enter_async_context(
            await open_log(
                settings,
                role=ROLE,
                name=name,
                size_max=CONNECTIONS,
                statement_timeout_ms=LOG_STATEMENT_TIMEOUT_MS,
            )
        )
        await refuse_unfit(read_model, log, settings)
        clock = await opened.enter_async_context(DatabaseClock(log))
        lag = timedelta(milliseconds=settings.injected_lag_ms)
        if lag:
            _log.warning("lag_is_injected", lag_ms=settings.injected_lag_ms)
        guard = choose_guard(settings)
        metrics = ConsumerMetrics()
        poll_s = settings.poll_ms / 1000
        # Whoever reads by number alone, in the laboratory, polls as such readers do.
        polls = settings.sync == "polling" or not guard.no_hole
        stream: Source = (
            Silence()
            if polls
            else Stream(
                settings.nats_url, name=name, start_after=lambda: intake.taken, metrics=metrics
            )
        )
        intake = Intake(
            log,
            stream,
            Due(lag, clock.now_at_least),
            metrics,
            poll_s=poll_s if polls else None,
            guard=guard,
        )
        projector = Projector(
            read_model=read_model,
            log=log,
            stream=stream,
            intake=intake,
            metrics=metrics,
            guard=guard,
            take_over_s=max(TAKE_OVER_S, 2 * poll_s) if polls else TAKE_OVER_S,
        )
        metrics.ask_when_scraped(
            behind=lambda: projector.behind,
            lag_s=lambda: _lag_s(projector, clock),
            active=lambda: projector.state in ("running", "behind"),
        )

        async def missing() -> list[str]:
            working = projector.state in ("running", "standby")
            return [] if working else [projector.stopped_because or f"projector {projector.state}"]

        url = await opened.enter_async_context(
            serve_metrics(
                {"projector": [metrics.registry]}, bound=metrics_socket(settings), missing=missing
            )
        )
        _log.info("metrics_served", url=f"{url}/metrics")
        async with asyncio.TaskGroup() as tasks:
            beside = [
                tasks.create_task(stream.run(), name="stream"),
                tasks.create_task(
                    report_forever(
                        read_model,
                        name=name,
                        projector=projector,
                        stream=stream,
                        metrics=metrics,
                    ),
                    name="report",
                ),
            ]
            await projector.run(stop)
            await end(*beside)
            await leave(read_model, name=name)


def _lag_s(projector: Projector, clock: DatabaseClock) -> float:
    """How old the read model is at most; NaN while that cannot be told."""
    if projector.checkpoint is None or projector.checkpoint.as_of is None:
        return math.nan
    try:
        return max(0.0, (clock.now_at_most() - projector.checkpoint.as_of).total_seconds())
    except NoDatabaseTime:
        return math.nan
