"""One connection to NATS that fails soon and says so, instead of waiting and hoping.

The client's own reconnecting is switched off: it buffers what could not be sent, survives some
failures as a connection that never speaks again, and hides from the relay the one moment at which
it must ask the stream anew. Whoever uses this connection leaves when it `is_closed` and opens the
next one.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nats.aio.client import Client
from nats.errors import Error

CONNECT_DEADLINE_S = 2.0
PING_EVERY_S = 1
"""With two unanswered pings a broker that hangs is noticed after 2 to 3 s (by default: minutes)."""


class NatsUnreachable(Error):
    """No connection within `CONNECT_DEADLINE_S`; `str()` of it is the last reason."""


@asynccontextmanager
async def connected_to_nats(url: str, *, name: str) -> AsyncIterator[Client]:
    """Connect as `name` (shown by the server's monitoring) and close at the end.

    Raises:
        NatsUnreachable: nobody answered, or the server refused us.
    """
    reason: Exception | None = None

    async def remember(error: Exception) -> None:
        nonlocal reason
        reason = error

    client = Client()
    try:
        try:
            async with asyncio.timeout(CONNECT_DEADLINE_S):
                await client.connect(
                    url,
                    name=name,
                    error_cb=remember,
                    allow_reconnect=False,
                    max_reconnect_attempts=-1,  # while connecting: until our own deadline
                    reconnect_time_wait=0.2,  # type: ignore[arg-type]  # any number of seconds will do
                    ping_interval=PING_EVERY_S,
                    max_outstanding_pings=2,
                    pending_size=0,  # what cannot be sent now fails now
                )
        except (OSError, Error, TimeoutError) as error:
            raise NatsUnreachable(str(reason or error)) from error
        yield client
    finally:
        await client.close()
