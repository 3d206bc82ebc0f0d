"""The loop: collect what comes next, apply it, announce it; and what to do when nothing comes.

It keeps no state that matters: the checkpoint in the read database says where it stands, the log
says what is true, and on any doubt it begins again from these two.
"""

import asyncio
import time
from typing import Literal

import asyncpg
import structlog

from booking.edge.database import UNREACHABLE
from booking.edge.progress import logged
from booking.events.envelope import Event
from projector.consumer.announce import announce
from projector.consumer.apply import Poison, apply
from projector.consumer.intake import Contradicted, Intake, Unreadable
from projector.consumer.metrics import ConsumerMetrics
from projector.consumer.silence import Source
from projector.consumer.stand_by import TAKE_OVER_S, until_it_stands_still
from projector.guards import ALL_ON, Guard
from projector.guards.checkpoint_compare_and_set import (
    Checkpoint,
    CheckpointMoved,
    Connection,
    ViewState,
    move_checkpoint,
    read_checkpoint,
)
from projector.guards.dead_letters import SuspectSlots, TooManyDeadLetters, bury
from projector.guards.one_epoch_only import begin_epoch
from projector.guards.unguarded import claim_now, move_checkpoint_blindly
from projector.log_reader import begin_new_epoch, read_event_id, read_head, read_letter
from projector.rebuild.control import DoesNotAddUp
from projector.rebuild.rebuild import NeverCaughtUp, rebuild
from projector.rebuild.replay import LogChanged
from projector.rebuild.shadow import Overtaken, ReadersInTheWay, ShadowInUse
from projector.session import unless_stopped

IDLE_S = 0.1
"""How often an idle projector says that it is there."""
RETRY_MAX_S = 2.0

State = Literal["running", "standby", "behind", "stopped", "rebuilding"]

_log = structlog.get_logger(__name__)


class Projector:
    """One projector; of several that run, one moves the checkpoint and the others stand by."""

    def __init__(
        self,
        *,
        read_model: asyncpg.Pool,
        log: asyncpg.Pool,
        stream: Source,
        intake: Intake,
        metrics: ConsumerMetrics,
        guard: Guard = ALL_ON,
        take_over_s: float = TAKE_OVER_S,
    ) -> None:
        """`take_over_s` must be longer than its heartbeats are apart."""
        self.checkpoint: Checkpoint | None = None
        self.stopped_because: str | None = None
        self._read_model = read_model
        self._log = log
        self._stream = stream
        self._intake = intake
        self._metrics = metrics
        self._guard = guard
        self._take_over_s = take_over_s
        self._stop = asyncio.Event()
        self._suspects = SuspectSlots()
        self._doubted_position = 0
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
        return "behind" if self.behind else "running"

    @property
    def behind(self) -> int:
        """Positions of the log that it knows of and has not applied."""
        applied = self.checkpoint.position if self.checkpoint else 0
        return max(0, self._intake.known_head - applied)

    async def run(self, stop: asyncio.Event) -> None:
        """Project until `stop` is set; a fault that is everywhere ends the work, not the process."""
        retry_s, self._stop = 0.1, stop
        while not stop.is_set():
            try:
                if self._standing_by:
                    await self._stand_by(stop)
                async with self._read_model.acquire() as connection:
                    await self.begin(connection)
                    retry_s = 0.1
                    while not stop.is_set():
                        await self.run_once(connection)
            except TooManyDeadLetters as many:
                self.stopped_because = str(many)
                self._metrics.stopped.set(1)
                self._want_nothing()
                _log.critical("projector_stopped", reason=str(many))
                await stop.wait()
            except CheckpointMoved as moved:
                _log.warning("projector_stands_by", reason=str(moved))
                self._standing_by = True
            except (Contradicted, *UNREACHABLE) as error:
                _log.warning("projector_begins_again", reason=f"{type(error).__name__}: {error}")
                self._metrics.restarts.inc()
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
                await begin_new_epoch(self._log, head.epoch, seen=seen.epoch)
                head = await read_head(self._log)
        elif seen.epoch is not None and seen.epoch > head.epoch:
            # It was put back to a copy from before that epoch, and takes up numbers told since.
            _log.error("log_forgot_an_epoch", forgotten=str(seen.epoch), epoch=str(head.epoch))
            await begin_new_epoch(self._log, head.epoch, seen=seen.epoch)
            head = await read_head(self._log)
        if seen.epoch != head.epoch:
            _log.warning("epoch_begins", epoch=str(head.epoch), position=head.position)
            seen = await begin_epoch(connection, seen, head.epoch)
        if seen.state == "rebuilding":
            self.checkpoint, self._standing_by = seen, False
            self._want_nothing()
            seen = await self._rebuild(connection)
        self.checkpoint, self._head_at_start, self._standing_by = seen, head.position, False
        self._suspects = SuspectSlots()
        self._intake.begin(head.epoch, after=seen.position, event_id=seen.event_id, head=head)

    async def _rebuild(self, connection: Connection) -> Checkpoint:
        """Nothing that is there may be told any more: fold the log anew and show that.

        Raises:
            CheckpointMoved: another process rebuilds.
            Contradicted: it came to nothing, and is begun again.
        """
        try:
            done = await unless_stopped(
                self._stop,
                lambda: rebuild(
                    connection, self._log, progress=logged(), not_before=self._intake.until_due
                ),
            )
        except ShadowInUse as busy:
            raise CheckpointMoved(str(busy)) from busy
        except (LogChanged, Overtaken, DoesNotAddUp, NeverCaughtUp, ReadersInTheWay) as vain:
            raise Contradicted(str(vain)) from vain
        if done is None:
            raise Contradicted("told to stop before it was rebuilt")
        _log.info("rebuilt", position=done.position, seconds=done.seconds, epoch=str(done.epoch))
        return await read_checkpoint(connection)

    async def run_once(self, connection: Connection) -> int:
        """One round: apply what is due, else raise `as_of`, else wait a moment. Returns events."""
        batch: list[Event] = []
        try:
            await self._intake.collect()
            batch = self._intake.take_due()
            if batch:
                return await self._apply(connection, batch)
        except (Poison, Unreadable) as poison:
            self._intake.put_back(batch[1:])
            await self._put_aside(connection, poison.position, poison.reason)
            return 1
        if not await self._say_where_it_stands(connection):
            await self._intake.wait(IDLE_S)
        return 0

    async def _apply(self, connection: Connection, batch: list[Event]) -> int:
        started = time.monotonic()
        seen = self._standing()
        heard = self._intake.heard(batch[-1].position)
        applied = await apply(
            connection, seen, batch, heard=heard, suspects=self._suspects, guard=self._guard
        )
        self._intake.put_back(batch[applied.events :])
        self._moved(applied.checkpoint)
        self._announced_at = time.monotonic()
        await announce(self._stream.client, seen.position, applied.checkpoint, applied.slots)
        self._metrics.events.inc(applied.events)
        self._metrics.batches.inc()
        self._metrics.batch_events.observe(applied.events)
        self._metrics.batch_seconds.observe(self._announced_at - started)
        for event_type, count in applied.skipped.items():
            self._metrics.skipped.labels(event_type).inc(count)
            _log.warning("unknown_event_type_skipped", type=event_type, count=count)
        if applied.checkpoint.state == "rebuilding":
            await self._say_where_it_stands(connection)
        return applied.events

    async def _put_aside(self, connection: Connection, position: int, reason: str) -> None:
        """Bury an event that cannot be taken in, once the log itself says the same as the stream."""
        seen = self._standing()
        if self._doubted_position != position:
            self._doubted_position = position
            self._intake.read_again(position)
            return
        assert seen.epoch is not None, "begin() met the log"  # noqa: S101  narrows the type
        letter = await read_letter(self._log, position, epoch=seen.epoch)
        if letter is None:
            raise Contradicted(f"the log no longer holds position {position}")
        await self._intake.until_due(letter.recorded_at)
        moved = await bury(connection, seen, letter, reason=reason)
        _log.error(
            "event_put_aside",
            position=position,
            type=letter.type,
            schema=letter.schema,
            booking_id=letter.booking_id and str(letter.booking_id),
            slot_ids=[str(slot_id) for slot_id in letter.slot_ids],
            reason=reason,
        )
        self._metrics.put_aside.inc()
        self._intake.pass_over(position, letter.event_id)
        self._moved(moved)
        self._announced_at = time.monotonic()
        await announce(self._stream.client, seen.position, moved)
        if moved.state == "rebuilding":
            await self._say_where_it_stands(connection)

    async def _say_where_it_stands(self, connection: Connection) -> bool:
        """Raise `as_of` by a heartbeat, end a rebuild, or just say so again; False when too soon."""
        seen = self._standing()
        heard = self._intake.heard(seen.position)
        as_of = heard.at if heard else seen.as_of
        caught_up = seen.position >= self._head_at_start and as_of is not None
        state: ViewState = "running" if caught_up else seen.state
        if heard or state != seen.state:
            guarded = self._guard.checkpoint_compare_and_set
            move = move_checkpoint if guarded else move_checkpoint_blindly
            moved = await move(
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
        if not self._guard.watermark:
            self._moved(await claim_now(connection, self._standing()))
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

    def _want_nothing(self) -> None:
        """Let the consumer end, until the stream is to bring what comes next again."""
        self._stream.wanted.clear()
        self._stream.arrived.clear()

    async def _stand_by(self, stop: asyncio.Event) -> None:
        """Take nothing from the stream until whoever works is gone."""
        self._want_nothing()
        await until_it_stands_still(
            self._read_model, self._take_over_s, seen=self._moved, stop=stop
        )
        if not stop.is_set():
            _log.warning("projector_takes_over", position=self._standing().position)
            self._metrics.take_overs.inc()
