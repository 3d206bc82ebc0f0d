"""A query node's knowledge of how far the read model has come, without asking for it each time.

It follows the projector's change feed, and looks at the checkpoint itself when the feed is silent,
so whoever waits for a position holds no database connection while waiting. What it knows is a hint
for waiting; every answer is judged on the position its own statement returned.
"""

import asyncio
import contextlib
import heapq
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import count
from typing import Self
from uuid import UUID

import asyncpg
import msgspec
import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from booking.edge.ending import end
from booking.events.messages import Changes, SlotState
from booking.events.subjects import AVAILABILITY_CHANGES
from projector.guards.checkpoint_compare_and_set import read_checkpoint
from projector.nats_connection import connect

SILENT_S = 0.5
"""Five empty messages missed: look at the checkpoint instead."""
LOOK_S = 0.05
"""How often, while the feed is silent."""

GIVEN_UP_MAX = 1000
"""Waiters whose time was up stay in the queue until so many have gathered."""

_log = structlog.get_logger(__name__)


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where the read model stands, as last heard."""

    epoch: UUID
    generation: int
    position: int
    as_of: datetime


Heard = Callable[[Standing, Sequence[SlotState] | None], None]
"""Called with every move: the slots it changed, or None when some may have been missed."""


class Follower:
    """Follows the read model; use as an async context manager."""

    def __init__(self, read_model: asyncpg.Pool, nats_url: str, *, name: str) -> None:
        self.standing: Standing | None = None
        self._read_model = read_model
        self._nats_url = nats_url
        self._name = name
        self._heard_at = 0.0
        self._parts: list[Changes] = []
        self._listeners: set[Heard] = set()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()
        self._given_up = 0
        self._next_move: asyncio.Future[None] | None = None
        self._decode = msgspec.json.Decoder(Changes).decode
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Begin to follow."""
        self._tasks = [
            asyncio.create_task(self._follow(), name="change-feed"),
            asyncio.create_task(self._look_when_silent(), name="checkpoint"),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop following."""
        await end(*self._tasks)

    def listen(self, heard: Heard) -> Callable[[], None]:
        """Call `heard` with every move until the returned function is called."""
        self._listeners.add(heard)
        return lambda: self._listeners.discard(heard)

    async def reached(self, position: int, *, timeout_s: float) -> bool:
        """Wait until a position is applied; False when the time was up first."""
        if self.standing is not None and self.standing.position >= position:
            return True
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (position, next(self._order), future))
        if await _within(future, timeout_s):
            return True
        self._given_up += 1
        if self._given_up > GIVEN_UP_MAX:
            self._waiting = [entry for entry in self._waiting if not entry[2].done()]
            heapq.heapify(self._waiting)
            self._given_up = 0
        return False

    async def moved(self, *, timeout_s: float) -> bool:
        """Wait until position or as_of moves; False when the time was up first."""
        if self._next_move is None:
            self._next_move = asyncio.get_running_loop().create_future()
        return await _within(asyncio.shield(self._next_move), timeout_s)

    async def _follow(self) -> None:
        client: Client = await connect(self._nats_url, name=self._name)
        try:
            await client.subscribe(AVAILABILITY_CHANGES, cb=self._hear)
            await asyncio.get_running_loop().create_future()  # until cancelled
        finally:
            with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
                await client.close()

    async def _hear(self, message: Msg) -> None:
        try:
            changes = self._decode(message.data)
        except msgspec.DecodeError as error:
            _log.warning("change_message_not_understood", reason=str(error))
            return
        self._heard_at = time.monotonic()
        if changes.part == 1:
            self._parts = [changes]
        elif self._parts and self._parts[-1].part == changes.part - 1:
            self._parts.append(changes)
        if changes.part < changes.parts:
            return
        whole = len(self._parts) == changes.parts and self._parts[0].position == changes.position
        slots = [slot for part in self._parts for slot in part.slots] if whole else None
        self._parts = []
        now = Standing(
            epoch=changes.epoch,
            generation=changes.generation,
            position=changes.position,
            as_of=changes.as_of,
        )
        before = self.standing
        continues = before is not None and (
            (now.epoch, now.generation, changes.previous_position)
            == (before.epoch, before.generation, before.position)
        )
        self._move(now, slots if continues else None)

    async def _look_when_silent(self) -> None:
        failing = False
        while True:
            await asyncio.sleep(LOOK_S)
            if time.monotonic() - self._heard_at < SILENT_S:
                continue
            try:
                seen = await read_checkpoint(self._read_model)
                failing = False
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                if not failing:
                    _log.warning("checkpoint_not_read", reason=str(error))
                failing = True
                continue
            if seen.epoch is not None and seen.as_of is not None and seen.state == "running":
                now = Standing(
                    epoch=seen.epoch,
                    generation=seen.generation,
                    position=seen.position,
                    as_of=seen.as_of,
                )
                same_rows = self.standing is not None and (
                    (now.generation, now.position)
                    == (self.standing.generation, self.standing.position)
                )
                self._move(now, [] if same_rows else None)

    def _move(self, now: Standing, slots: Sequence[SlotState] | None) -> None:
        """Stand where a message or the checkpoint says, and wake those who waited for it."""
        before = self.standing
        if before is not None and before.generation > now.generation:
            return
        if before is not None and before.generation == now.generation:
            if now.position < before.position:
                return
            if now.position == before.position and now.as_of <= before.as_of:
                return
        self.standing = now
        while self._waiting and self._waiting[0][0] <= now.position:
            _, _, future = heapq.heappop(self._waiting)
            if not future.done():
                future.set_result(None)
        if self._next_move is not None and not self._next_move.done():
            self._next_move.set_result(None)
        self._next_move = None
        for heard in list(self._listeners):
            heard(now, slots)


async def _within(future: "asyncio.Future[None]", timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(max(0.0, timeout_s)):
            await future
    except TimeoutError:
        return False
    return True
