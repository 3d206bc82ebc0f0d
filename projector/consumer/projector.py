"""The loop: collect what comes next, apply it, announce it; and what to do when nothing comes.

It keeps no state that matters: the checkpoint in the read database says where it stands, the log
says what is true, and on any doubt it begins again from these two.
"""

import asyncio
import time
from typing import Literal

import asyncpg
import structlog

from booking.events.envelope import Event
from projector.consumer.announce import announce
from projector.consumer.apply import Poison, apply
from projector.consumer.intake import Contradicted, Intake, Unreadable
from projector.consumer.metrics import ConsumerMetrics
from projector.consumer.stream import Stream
from projector.guards.checkpoint_compare_and_set import (
    Checkpoint,
    CheckpointMoved,
    Connection,
    move_checkpoint,
    read_checkpoint,
)
from projector.guards.one_epoch_only import begin_epoch
from projector.log_reader import begin_new_epoch, read_event_id, read_head

IDLE_S = 0.1
"""How often an idle projector says that it is there."""
TAKE_OVER_S = 3.0
"""A checkpoint that stood still for this long has lost its projector."""
RETRY_MAX_S = 2.0

State = Literal["running", "standby", "behind", "stopped", "rebuilding"]

# The read model can be folded again, so its commits need not wait for the disk. Statements here are
# planned once and kept; a plan from the time when a table was empty must not scan it for ever.
SESSION = "SET synchronous_commit = off; SET enable_seqscan = off"

_log = structlog.get_logger(__name__)


class Projector:
    """One projector; of several that run, one moves the checkpoint and the others stand by."""

    def __init__(
        self,
        *,
        read_model: asyncpg.Pool,
        log: asyncpg.Pool,
        stream: Stream,
        intake: Intake,
        metrics: ConsumerMetrics,
    ) -> None:
        self.checkpoint: Checkpoint | None = None
        self.stopped_because: str | None = None
        self._read_model = read_model
        self._log = log
        self._stream = stream
        self._intake = intake
        self._metrics = metrics
        self._standing_by = False
        self._head_at_start = 0
        self._announced_at = 0.0

    @property
    def state(self) -> State:
        """What it is doing, in the words of `/v1/consistency`."""
        if self.stopped_because is not None:
            return "stopped"
        if self._standing_by:
            return "standby"
        if self.checkpoint is None or self.checkpoint.state == "rebuilding":
            return "rebuilding"
        return "behind" if self.checkpoint.position < self._intake.known_head else "running"

    async def run(self, stop: asyncio.Event) -> None:
        """Project until `stop` is set; a poison event ends the work, not the process."""
        retry_s = 0.1
        while not stop.is_set():
            try:
                if self._standing_by:
                    await self._stand_by(stop)
                async with self._read_model.acquire() as connection:
                    await connection.execute(SESSION)
                    await self.begin(connection)
                    retry_s = 0.1
                    while not stop.is_set():
                        await self.run_once(connection)
            except (Poison, Unreadable) as poison:
                self.stopped_because = str(Poison(poison.position, poison))
                self._metrics.stopped.set(1)
                _log.critical("projector_stopped", position=poison.position, reason=str(poison))
                await stop.wait()
            except CheckpointMoved as moved:
                _log.warning("projector_stands_by", reason=str(moved))
                self._standing_by = True
            except (
                Contradicted,
                OSError,
                TimeoutError,
                asyncpg.PostgresError,
                asyncpg.InterfaceError,
            ) as error:
                _log.warning("projector_begins_again", reason=f"{type(error).__name__}: {error}")
                await asyncio.sleep(retry_s)
                retry_s = min(2 * retry_s, RETRY_MAX_S)

    async def begin(self, connection: Connection) -> None:
        """Agree with the log about the history, and stand at the checkpoint."""
        seen = await read_checkpoint(connection)
        head = await read_head(self._log)
        if seen.epoch == head.epoch and seen.position > 0:
            event_id = await read_event_id(self._log, seen.position)
            if event_id != seen.event_id:
                _log.error("log_contradicts_checkpoint", position=seen.position)
                await begin_new_epoch(self._log, head.epoch)
                head = await read_head(self._log)
        if seen.epoch != head.epoch:
            _log.warning("epoch_begins", epoch=str(head.epoch), position=head.position)
            seen = await begin_epoch(connection, seen, head.epoch)
        self.checkpoint, self._head_at_start, self._standing_by = seen, head.position, False
        self._intake.begin(head.epoch, after=seen.position, head=head)

    async def run_once(self, connection: Connection) -> int:
        """One round: apply what is due, else raise `as_of`, else wait a moment. Returns events."""
        await self._intake.collect()
        batch = self._intake.take_due()
        if batch:
            return await self._apply(connection, batch)
        if not await self._say_where_it_stands(connection):
            await self._intake.wait(IDLE_S)
        return 0

    async def _apply(self, connection: Connection, batch: list[Event]) -> int:
        seen = self._standing()
        heard = self._intake.heard(batch[-1].position)
        applied = await apply(connection, seen, batch, heard=heard)
        self._intake.put_back(batch[applied.events :])
        self._moved(applied.checkpoint)
        self._announced_at = time.monotonic()
        await announce(self._stream.client, seen.position, applied.checkpoint, applied.slots)
        self._metrics.events.inc(applied.events)
        self._metrics.batches.inc()
        for event_type, count in applied.skipped.items():
            self._metrics.skipped.labels(event_type).inc(count)
            _log.warning("unknown_event_type_skipped", type=event_type, count=count)
        if applied.checkpoint.state == "rebuilding":
            await self._say_where_it_stands(connection)
        return applied.events

    async def _say_where_it_stands(self, connection: Connection) -> bool:
        """Raise `as_of` by a heartbeat, end a rebuild, or just say so again; False when too soon."""
        seen = self._standing()
        heard = self._intake.heard(seen.position)
        as_of = heard.at if heard else seen.as_of
        caught_up = seen.position >= self._head_at_start and as_of is not None
        state = "running" if caught_up else seen.state
        if heard or state != seen.state:
            moved = await move_checkpoint(
                connection,
                seen,
                position=seen.position,
                event_id=seen.event_id,
                as_of=as_of,
                state=state,
            )
            self._moved(moved)
        elif time.monotonic() - self._announced_at < IDLE_S:
            return False
        self._announced_at = time.monotonic()
        await announce(self._stream.client, seen.position, self._standing())
        return True

    def _standing(self) -> Checkpoint:
        if self.checkpoint is None:
            raise Contradicted("the projector has not begun")
        return self.checkpoint

    def _moved(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self._metrics.position.set(checkpoint.position)
        if checkpoint.as_of is not None:
            self._metrics.as_of.set(checkpoint.as_of.timestamp())

    async def _stand_by(self, stop: asyncio.Event) -> None:
        """Wait until the checkpoint has stood still: whoever moved it is gone."""
        last_seen, since = None, time.monotonic()
        while not stop.is_set() and time.monotonic() - since < TAKE_OVER_S:
            self.checkpoint = await read_checkpoint(self._read_model)
            if (self.checkpoint.position, self.checkpoint.as_of) != last_seen:
                last_seen, since = (
                    (self.checkpoint.position, self.checkpoint.as_of),
                    time.monotonic(),
                )
            await asyncio.sleep(IDLE_S)
