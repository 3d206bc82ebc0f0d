"""The change feed as a query node hears it: parts put together, and silence noticed.

Core NATS, so a message may be lost and nobody says so; each says where it continues from, and an
idle projector says ten times a second that it is there.
"""

import asyncio
import contextlib
import time

import msgspec
import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from booking.events.messages import Changes
from booking.events.subjects import AVAILABILITY_CHANGES
from projector.nats_connection import connect, pause_after
from projector.queries.standing import Standing
from projector.replica.follower import Follower, News
from projector.replica.memory import Told

SILENT_S = 0.5
"""Five empty messages missed."""
WATCH_S = 0.05
"""How often silence and the end of a connection are looked for."""

_log = structlog.get_logger(__name__)


class ChangeFeed:
    """Hears what the projector announces."""

    def __init__(self, follower: Follower, nats_url: str, *, name: str) -> None:
        self.messages = self.silences = 0
        self._follower = follower
        self._nats_url = nats_url
        self._name = name
        self._heard_at = 0.0
        self._was_silent = True
        self._parts: list[Changes] = []
        self._decode = msgspec.json.Decoder(Changes).decode

    @property
    def silent(self) -> bool:
        """Whether nothing has been heard for so long that changes may have been missed."""
        return time.monotonic() - self._heard_at > SILENT_S

    async def listen(self) -> None:
        """Hear until cancelled, through any absence of the broker."""
        while True:
            client: Client = await connect(self._nats_url, name=self._name)
            try:
                with contextlib.suppress(nats.errors.ConnectionClosedError):
                    await client.subscribe(AVAILABILITY_CHANGES, cb=self._on_message)
                while not client.is_closed:  # noqa: ASYNC110  no event says so in every case
                    await asyncio.sleep(WATCH_S)
            finally:
                with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
                    await client.close()
            await pause_after(client)

    async def notice_silence(self) -> None:
        """Let go of what is held whenever changes may have been missed, until cancelled."""
        while True:
            await asyncio.sleep(WATCH_S)
            if self.silent and not self._was_silent:
                self._was_silent = True
                self.silences += 1
                self._parts = []
                self._follower.replica.silent()

    def hear(self, payload: bytes) -> None:
        """Take in one message."""
        try:
            changes = self._decode(payload)
        except msgspec.DecodeError as error:
            _log.warning("change_message_not_understood", reason=str(error))
            return
        self.messages += 1
        self._heard_at = time.monotonic()
        self._was_silent = False
        if changes.part == 1:
            self._parts = [changes]
        elif self._parts and self._parts[-1].part == changes.part - 1:
            self._parts.append(changes)
        if changes.part < changes.parts:
            return
        whole = len(self._parts) == changes.parts and self._parts[0].position == changes.position
        slots = [slot for part in self._parts for slot in part.slots] if whole else []
        self._parts = []
        now = Standing(
            epoch=changes.epoch,
            generation=changes.generation,
            position=changes.position,
            as_of=changes.as_of,
        )
        # A message of which parts are missing continues from nowhere.
        previous = changes.previous_position if whole else -1
        self._follower.hear(News(now=now, changes=[Told(s) for s in slots], previous=previous))

    async def _on_message(self, message: Msg) -> None:
        self.hear(message.data)
