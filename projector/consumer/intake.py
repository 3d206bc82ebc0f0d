"""What comes next: events in unbroken order, from the stream where it can and from the log where not.

One number decides the source: up to `known_head` the log is read, beyond it the stream is awaited.
Starting late, a jump, a message that cannot be what the log holds, and a stream that promises or
says nothing all do the same thing: they raise `known_head`. Polling is no other way: it is a stream
that never says anything, and a log that is asked all the time.
"""

import asyncio
import time
from collections import deque
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
import msgspec
import structlog

from booking.events.envelope import Event, decode
from booking.events.messages import Heartbeat
from projector.consumer.due import Due
from projector.consumer.metrics import ConsumerMetrics
from projector.consumer.order import Arrival, take_in_order
from projector.consumer.silence import Source
from projector.consumer.stream import ARRIVED_MAX, HEARTBEATS_MAX
from projector.guards import ALL_ON, Guard
from projector.guards.unguarded import last_visible_position, take_as_it_comes
from projector.log_reader import LogHead, read_head_beside, read_payloads

BATCH_MAX = 1000
"""Events per transaction: large enough to keep up, small enough to be read within a moment."""
SILENT_S = 1.0
"""Ten heartbeats missed, or events promised and not delivered: ask the log."""
ASK_S = 0.05
"""How often the log is asked while the stream is silent."""
APART = timedelta(milliseconds=40)
"""Of heartbeats closer together only the newest is kept: who polls every millisecond has a thousand
in a second, and what is kept must reach back over the longest injected lag."""

_log = structlog.get_logger(__name__)


class Contradicted(Exception):
    """Log, stream and checkpoint do not agree: begin again from the checkpoint and the log."""


class Unreadable(Exception):
    """The log itself holds bytes at this position that are no event."""

    def __init__(self, position: int, cause: Exception) -> None:
        super().__init__(str(cause))
        self.position = position
        self.reason = f"{type(cause).__name__}: {cause}"


class Intake:
    """Events ready to be applied, and the heartbeats that say how far their reader has heard."""

    def __init__(
        self,
        log: asyncpg.Pool,
        stream: Source,
        due: Due,
        metrics: ConsumerMetrics,
        *,
        poll_s: float | None = None,
        guard: Guard = ALL_ON,
    ) -> None:
        """With `poll_s` the log is asked so long after it was asked last, else when all is silent."""
        self.taken = 0  # the last position made ready
        self.known_head = 0
        self.from_log = 0  # events read from the log since the process began
        self._log = log
        self._stream = stream
        self._due = due
        self._metrics = metrics
        self._poll_s = poll_s
        self._guard = guard
        self._taken_id: UUID | None = None
        self._unreadable: Unreadable | None = None  # what comes after those that are ready
        self._asked_at = 0.0
        self._epoch = UUID(int=0)
        self._ready: deque[Event] = deque()
        self.unheard: deque[Heartbeat] = deque(maxlen=HEARTBEATS_MAX)  # speak of what is to come
        self._news_at = 0.0

    def begin(self, epoch: UUID, *, after: int, event_id: UUID | None, head: LogHead) -> None:
        """Forget what was collected and continue after an event of an epoch."""
        self._epoch, self.taken, self.known_head = epoch, after, head.position
        self._taken_id, self._unreadable = event_id, None
        self._news_at = self._asked_at = time.monotonic()
        self._ready.clear()
        self._stream.arrived.clear()
        self.unheard.clear()
        self.unheard.append(Heartbeat(epoch=epoch, position=head.position, at=head.at))

    async def collect(self) -> None:
        """Make ready what comes next, if it is there.

        Raises:
            Contradicted: a newer epoch has begun, or the log is not what it was.
            Unreadable: the next event cannot be read even from the log, and nothing else is ready.
                It is raised until `pass_over`.
        """
        self._listen()
        if len(self._ready) >= ARRIVED_MAX:
            return
        if self._unreadable is not None:
            if not self._ready:
                raise self._unreadable
        elif self.taken < self.known_head:
            await self._collect_from_log()
        else:
            self._collect_from_stream()

    def _collect_from_stream(self) -> None:
        self._stream.wanted.set()
        take = take_in_order if self._guard.newer_version_only else take_as_it_comes
        run = take(self._stream.arrived, after=self.taken, limit=BATCH_MAX)
        self._metrics.repeated.inc(run.repeats)
        for arrival in run.arrivals:
            event = self._decode(arrival)
            if event is None:  # not what the log says; read it there
                self._metrics.refused.inc()
                self.known_head = arrival.position
                return
            self._took(event)
        if run.arrivals:
            self._news_at = time.monotonic()
        elif run.missing_up_to is not None:
            _log.info("gap_filled_from_log", after=self.taken, up_to=run.missing_up_to)
            self._metrics.gaps.inc()
            self._news_at = time.monotonic()
            self.known_head = run.missing_up_to

    def take_due(self) -> list[Event]:
        """The next events that may be known, at most a batch."""
        batch: list[Event] = []
        while self._ready and len(batch) < BATCH_MAX and self._may_be_known(self._ready[0]):
            batch.append(self._ready.popleft())
        return batch

    async def until_due(self, at: datetime) -> None:
        """Wait until what happened at a moment may be known."""
        await self._due.keep_back(at)

    def put_back(self, events: list[Event]) -> None:
        """Events that were taken and not applied."""
        self._ready.extendleft(reversed(events))

    def pass_over(self, position: int, event_id: UUID) -> None:
        """Go on after an event that was put aside."""
        self._unreadable = None
        if position > self.taken:
            self.taken, self._taken_id = position, event_id

    def read_again(self, position: int) -> None:
        """Ask the log what it says from a position on, whatever the stream said."""
        self.known_head = max(self.known_head, self.taken)
        self.taken, self._taken_id, self._unreadable = position - 1, None, None
        self._ready.clear()

    def heard(self, position: int) -> Heartbeat | None:
        """The newest heartbeat that may be known and promises nothing beyond a position."""
        newest = None
        while (
            self.unheard
            and self.unheard[0].position <= position
            and not self._due.wait_s(self.unheard[0].at)
        ):
            newest = self.unheard.popleft()
        return newest

    async def wait(self, at_most_s: float) -> None:
        """Until something arrives or becomes due; asks the log when it is time to."""
        self._stream.something.clear()
        full = len(self._ready) >= ARRIVED_MAX or self._unreadable is not None
        if self.taken < self.known_head and not full:
            return  # there is more to read at once
        now = time.monotonic()
        silent = now - self._news_at > SILENT_S
        if self._poll_s is not None or silent:
            ask_in_s = self._asked_at + (self._poll_s or ASK_S) - now
            if ask_in_s <= 0:
                await self._ask()
                return
            at_most_s = min(at_most_s, ask_in_s)
        if self._ready:
            at_most_s = min(at_most_s, self._due.wait_s(self._ready[0].recorded_at))
        elif self.unheard and self.unheard[0].position <= self.taken:
            at_most_s = min(at_most_s, self._due.wait_s(self.unheard[0].at))
        try:
            async with asyncio.timeout(at_most_s):
                await self._stream.something.wait()
        except TimeoutError:
            return

    def _may_be_known(self, event: Event) -> bool:
        return not self._due.wait_s(event.recorded_at)

    async def _ask(self) -> None:
        """The log's own word stands in for the heartbeat that did not come.

        Raises:
            Contradicted: a newer epoch has begun, or the log no longer holds what was taken from it.
        """
        self._asked_at = time.monotonic()
        if not self._guard.no_hole:
            self.known_head = await last_visible_position(self._log)
        head, event_id = await read_head_beside(self._log, self.taken)
        if self._taken_id not in (None, event_id):
            raise Contradicted(f"the log holds another event at position {self.taken}")
        if self._is_ours(head.epoch):
            self.known_head = max(self.known_head, head.position)
            self._keep(Heartbeat(epoch=head.epoch, position=head.position, at=head.at))

    def _listen(self) -> None:
        """Take in heartbeats of this epoch; one that says nothing is missing is news."""
        heard = self._stream.heartbeats
        while heard:
            heartbeat = heard.popleft()
            if self._is_ours(heartbeat.epoch):
                self._keep(heartbeat)
                if heartbeat.position <= self.taken:
                    self._news_at = time.monotonic()

    def _keep(self, heartbeat: Heartbeat) -> None:
        kept = self.unheard
        if len(kept) > 1 and abs(kept[-1].at - kept[-2].at) < APART:
            kept.pop()
        kept.append(heartbeat)

    async def _collect_from_log(self) -> None:
        if time.monotonic() - self._asked_at > SILENT_S:
            # However far there is to go: nobody needs it when a newer epoch has begun meanwhile.
            await self._ask()
        page = await read_payloads(
            self._log,
            epoch=self._epoch,
            after=self.taken,
            limit=min(BATCH_MAX, self.known_head - self.taken),
        )
        if not page and self._guard.no_hole:
            raise Contradicted(f"the log ends at {self.taken}, {self.known_head} was promised")
        for position, payload in page:
            if position != self.taken + 1 and self._guard.no_hole:
                if position > page[0][0]:
                    break  # what stands before the hole is sound
                raise Contradicted(f"the log goes from {self.taken} to {position}")
            try:
                self._took(decode(payload))
            except msgspec.DecodeError as error:
                self._unreadable = Unreadable(position, error)
                break
            self.from_log += 1
            self._metrics.from_log.inc()

    def _took(self, event: Event) -> None:
        self._ready.append(event)
        if event.position > self.taken:
            self.taken, self._taken_id = event.position, event.event_id

    def _decode(self, arrival: Arrival) -> Event | None:
        """A message of the stream, or None when it cannot be what the log holds there."""
        try:
            event = decode(arrival.payload)
        except msgspec.DecodeError:
            return None
        there = event.position == arrival.position
        return event if there and self._is_ours(event.epoch) else None

    def _is_ours(self, epoch: UUID) -> bool:
        """Whether something is of this epoch.

        Raises:
            Contradicted: it is of a newer one (epochs are UUIDv7s and order by time).
        """
        if epoch == self._epoch:
            return True
        if epoch > self._epoch:
            raise Contradicted(f"epoch {epoch} has begun")
        return False
