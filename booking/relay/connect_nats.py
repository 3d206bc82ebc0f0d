"""One connection to NATS that fails soon and says so, instead of waiting and hoping.

The client's own reconnecting is switched off: it buffers what could not be sent, survives some
failures as a connection that never speaks again, and hides from the relay the one moment at which
it must ask the stream anew. Whoever uses this connection leaves when it `is_closed` and opens the
next one.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import structlog
from nats.aio.client import Client
from nats.errors import Error

from booking.edge.failures import Misconfigured

CONNECT_DEADLINE_S = 2.0
CLOSE_DEADLINE_S = 2.0
"""A server that hangs would otherwise hold up the end."""
PING_EVERY_S = 1
"""With two unanswered pings a broker that hangs is noticed after 2 to 3 s (by default: minutes)."""


_log = structlog.get_logger(__name__)


class NatsUnreachable(Error):
    """No connection within `CONNECT_DEADLINE_S`; `str()` of it is the last reason."""


@contextlib.asynccontextmanager
async def connected_to_nats(url: str, *, name: str) -> AsyncIterator[Client]:
    """Connect as `name` (shown by the server's monitoring) and close at the end.

    Raises:
        NatsUnreachable: nobody answered, or the server refused us; it may pass.
        Misconfigured: `url`, which came from BOOKING_NATS_URL, is no address.
    """
    client = Client()
    reason: Exception | None = None

    async def hear(error: Exception) -> None:
        nonlocal reason
        reason = error
        if client.is_connected:  # nobody waits for it: a permission that lacks, for example
            _log.warning("nats_complains", error=str(error))

    try:
        try:
            async with asyncio.timeout(CONNECT_DEADLINE_S):
                await client.connect(
                    url,
                    name=name,
                    error_cb=hear,
                    allow_reconnect=False,
                    max_reconnect_attempts=-1,  # while connecting: until our own deadline
                    reconnect_time_wait=0.2,  # type: ignore[arg-type]  # any number of seconds will do
                    ping_interval=PING_EVERY_S,
                    max_outstanding_pings=2,
                    pending_size=0,  # what cannot be sent now fails now
                )
        except (OSError, Error, TimeoutError) as error:
            if isinstance(error, Error) and reason is None:  # not even tried
                raise Misconfigured(
                    f"BOOKING_NATS_URL is no address of a NATS server ({error}): "
                    "write it as nats://HOST:PORT."
                ) from error
            raise NatsUnreachable(
                f"NATS cannot be reached ({reason or 'no answer'}): is it where BOOKING_NATS_URL says?"
            ) from error
        yield client
    finally:
        # The client asserts that it was connected once, even if it never had an address to go to.
        with contextlib.suppress(TimeoutError, AssertionError):
            async with asyncio.timeout(CLOSE_DEADLINE_S):
                await client.close()
