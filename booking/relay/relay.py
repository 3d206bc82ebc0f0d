"""One step of relaying: agree with the stream, say how far the log has come, publish what is missing.

The relay keeps no cursor. While all goes well it knows where the stream ends because it has just
been told; after anything else it knows nothing and asks again.
"""

import math
import time
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

import asyncpg
from msgspec import Struct
from nats.aio.client import Client

from booking.events.envelope import LogRow
from booking.relay.agree import agree
from booking.relay.compare import Finding
from booking.relay.heartbeat import beat
from booking.relay.publish import CHAIN_MAX, publish
from booking.relay.read_log import read_after

AGREE_EVERY_S = 2.0
"""How long a stream that was changed behind our back goes unnoticed; a look costs about 2 ms."""
QUIET_HEARTBEAT_EVERY_S = 0.1
"""While there is nothing to publish."""
BUSY_HEARTBEAT_EVERY_S = 0.02
"""At most, ahead of events that are the last ones so far. An event tells when it was decided, a heartbeat
the later moment up to which no other one was: a view under full load is a third younger by it."""


class Round(Struct, frozen=True, kw_only=True):
    """What one round did."""

    epoch: UUID
    head: int
    """Where the log ended at the beginning of the round."""
    position: int
    """Where the stream ends now."""
    published: int
    heartbeat: bool
    healed: tuple[Finding, ...]


class _Known(Struct, frozen=True, kw_only=True):
    """What is known of the stream; kept from one round to the next only if the round succeeds."""

    epoch: UUID
    position: int
    until_s: float


class Relay:
    """Publishes the log through one NATS connection; `run_once` is all there is to it."""

    def __init__(
        self,
        log: asyncpg.Pool,
        nats: Client,
        *,
        append: Callable[[Client, UUID, Sequence[LogRow]], Awaitable[int]] = publish,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._append = append
        self._log = log
        self._nats = nats
        self._jetstream = nats.jetstream(timeout=2)
        self._now = now
        self._known: _Known | None = None
        self._beaten_at_s = -math.inf

    async def run_once(self) -> Round:
        """Do one round and return what was done.

        Raises whatever database or broker raise; the next round then begins with asking the stream.
        """
        known, self._known = self._known, None
        healed: tuple[Finding, ...] = ()
        if known is None or self._now() >= known.until_s:
            agreement = await agree(self._log, self._jetstream)
            healed = agreement.healed
            known = _Known(
                epoch=agreement.log.epoch,
                position=agreement.stream.last_position,
                until_s=self._now() + AGREE_EVERY_S,
            )
        head, events = await read_after(self._log, known.position, events_max=CHAIN_MAX)
        position, heartbeat = known.position, False
        if head.epoch == known.epoch and head.position >= known.position:
            reached = known.position + len(events) == head.position
            pace_s = BUSY_HEARTBEAT_EVERY_S if events else QUIET_HEARTBEAT_EVERY_S
            if reached and self._now() >= self._beaten_at_s + pace_s:
                # Ahead of its events: whoever has applied them knows at once how fresh that is.
                await beat(self._nats, head)
                heartbeat = True
                self._beaten_at_s = self._now()
            if events:
                position = await self._append(self._nats, known.epoch, events)
            self._known = _Known(epoch=known.epoch, position=position, until_s=known.until_s)
        return Round(
            epoch=head.epoch,
            head=head.position,
            position=position,
            published=position - known.position,
            heartbeat=heartbeat,
            healed=healed,
        )
