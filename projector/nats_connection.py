"""How the read side connects to NATS: for ever, and quick to notice a broker that hangs.

The driver's defaults notice a dead broker after minutes, give up after sixty tries, and keep what
was published while disconnected to send it later; none of that suits messages that say where the
read model stands *now*. And although it connects again whenever a connection is lost, it closes
itself for good at most complaints of the server (`-ERR`: a user that was taken away, a message that
is too large). So whoever uses a connection leaves when it `is_closed` and opens the next one; the
driver's `closed_cb` is no help, because it is not called in every case.
"""

import asyncio
from collections.abc import Callable

import structlog
from nats.aio.client import Client

AGAIN_S = 0.5

_log = structlog.get_logger(__name__)


async def connect(
    url: str,
    *,
    name: str,
    reconnected: Callable[[], None] | None = None,
    client: Client | None = None,
) -> Client:
    """A connection that keeps trying; returns when it stands, so give it to a task of its own.

    `reconnected` is called whenever it was lost and stands again; `client` is one to connect that is
    more than the driver's own.
    """
    client = client or Client()
    said: set[str] = set()

    async def fails(error: Exception) -> None:
        # Each reason once, until it stands again: it is tried five times a second.
        reason = f"{type(error).__name__}: {error}"
        if reason not in said:
            _log.warning("nats_fails", reason=reason)
            said.add(reason)

    async def stands_again() -> None:
        said.clear()
        if reconnected is not None:
            reconnected()

    try:
        await client.connect(
            url,
            name=name,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.2,  # type: ignore[arg-type]  # it is slept, whatever it is
            ping_interval=1,
            max_outstanding_pings=2,
            pending_size=0,
            error_cb=fails,
            reconnected_cb=stands_again,
        )
    except BaseException:
        await client.close()  # cancelled half-way, it would leave its socket open
        raise
    return client


async def pause_after(closed: Client) -> None:
    """Say why the driver closed a connection for good, and wait a moment before the next one."""
    reason = closed.last_error
    _log.warning("nats_closed", reason=f"{type(reason).__name__}: {reason}")
    await asyncio.sleep(AGAIN_S)
