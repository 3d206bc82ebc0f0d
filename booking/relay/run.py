"""The relay as a process: it connects, relays until told to stop, and never gives up.

Every failure is treated alike: forget what was known of the stream, wait a little longer than last
time, look again. A lost connection to NATS is replaced by a new one. Two relays do no harm; the one
that comes second stands back.
"""

import asyncio
import contextlib
import gc
import random

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from booking.edge.database import UNREACHABLE
from booking.edge.metrics_listener import serve_metrics
from booking.edge.servers import bind
from booking.events.subjects import WAKE
from booking.injected_fault import appending_with_fault
from booking.relay.advisories import captured_advisories
from booking.relay.agree import NoAgreement
from booking.relay.condition import Condition
from booking.relay.connect_nats import connected_to_nats
from booking.relay.open_log import DatabaseUnreachable, opened_log
from booking.relay.publish import NotAppended, Outrun, publish
from booking.relay.read_log import HoleInTheLog
from booking.relay.relay import Relay
from booking.settings import Settings

POLL_S = 0.1
"""How late an event is relayed at most when its wake-up call was lost; also the heartbeat's pace."""
GATHER_S = 0.002
"""After publishing, so that under load events travel together: at 500 commits/s a third less CPU."""
STAND_BACK_S = 2.0
"""Whoever was outrun leaves the work to the other relay for so long, instead of racing with it."""
GARBAGE_AFTER = 50_000
"""Objects made and not freed before the collector looks for cycles. Events have none and go with their
chain; looking after every 700 took some 7 percent of the time."""
PAUSE_MIN_S = 0.1
PAUSE_MAX_S = 2.0

TROUBLE = (
    *(*UNREACHABLE, nats.errors.Error),
    *(DatabaseUnreachable, NoAgreement, NotAppended, HoleInTheLog),
)


_log = structlog.get_logger(__name__)


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Relay until `stop` is set.

    Raises:
        Misconfigured: a setting is wrong, or the database is one that must not be relayed from.
            A database or a NATS that cannot be reached is none: it is waited for.
    """
    gc.set_threshold(GARBAGE_AFTER)
    condition = Condition()
    bound = bind(
        settings.metrics_host,
        settings.metrics_port,
        variable="BOOKING_METRICS_PORT",
        environment=settings.environment,
    )
    async with serve_metrics(
        {"relay": [condition.registry]}, bound=bound, missing=condition.missing
    ) as url:
        _log.info("metrics_served", url=f"{url}/metrics")
        await keep_relaying(settings, condition, stop)


async def keep_relaying(settings: Settings, condition: Condition, stop: asyncio.Event) -> None:
    """Connect to both sides and relay; whatever breaks, connect again."""
    append = appending_with_fault(publish, settings.fault, environment=settings.environment)
    failures = 0
    while not stop.is_set():
        try:
            async with (
                opened_log(settings.database_url, environment=settings.environment) as log,
                connected_to_nats(settings.nats_url, name="booking-relay") as client,
                captured_advisories(client),
            ):
                condition.connected()
                failures = 0
                await _relay_while_connected(
                    Relay(log, client, append=append), client, condition, stop
                )
        except TROUBLE as error:
            condition.went_wrong(error)
            failures += 1
            await _pause(_longer_each_time(failures), stop)


async def _relay_while_connected(
    relay: Relay, client: Client, condition: Condition, stop: asyncio.Event
) -> None:
    """Run rounds: at once while there is more, else when called or after `POLL_S`."""
    called = asyncio.Event()

    async def call(_: Msg) -> None:
        called.set()

    await client.subscribe(WAKE, cb=call)
    failures = 0
    while not stop.is_set():
        called.clear()
        try:
            done = await relay.run_once()
        except Outrun as refusal:
            condition.was_outrun(refusal)
            await _pause(STAND_BACK_S, stop)
            continue
        except TROUBLE as error:
            if client.is_closed:
                raise
            condition.went_wrong(error)
            failures += 1
            await _pause(_longer_each_time(failures), stop)
            continue
        failures = 0
        condition.went_well(done)
        if done.position < done.head:
            continue
        if done.published:
            await asyncio.sleep(GATHER_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_S):
                await called.wait()


def _longer_each_time(failures: int) -> float:
    doublings = min(failures - 1, 10)  # far past the maximum, and no overflow in a long outage
    return min(PAUSE_MAX_S, PAUSE_MIN_S * (1 << doublings))


async def _pause(longest_s: float, stop: asyncio.Event) -> None:
    """Wait at most `longest_s`, and never in step with another relay; no longer than until `stop`."""
    pause_s = random.uniform(longest_s / 2, longest_s)  # noqa: S311 jitter is no secret
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(pause_s):
            await stop.wait()
