"""The micro-batcher: commands that wait at the same time share one transaction.

A row lock is held until its commit is flushed, so one hot slot sells one transaction's worth per
flush. The next batch is therefore what queued while the last one was in flight: no timer, so an
idle system answers at once and a busy one fills its batches by itself. Of a crowd it is half, so that
one half is decided while the other reads its answers and asks again.

It promises: arrival order; at most one command per booking and per (caller, command id) in a batch;
one decision for equal commands under one key; a full queue refuses at once; a command that makes
the call raise fails alone; a command that needs the units of holds past their time is decided after
these have expired, before anybody who came later.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from uuid import UUID

import asyncpg
import structlog
from msgspec import Struct, json

from booking.attempts import Attempts
from booking.commands.command import Command, Decision
from booking.commands.expire_hold import expire_hold
from booking.faults import (
    CommandFailed,
    DatabaseUnavailable,
    Draining,
    Fault,
    NotDecided,
    QueueFull,
)

BATCH_SIZE_MAX = 192
"""Commands decided together. Larger batches sold no more, and what readers saw was older."""
UNDIVIDED_MAX = 64
"""So many are never made to wait for each other: what a batch costs beside its commands is not spent twice."""
SENT_AHEAD_MAX = 4096
"""Holds that expire in a batch for the commands behind them, beyond its size: so a resize sees at once
what expired for it. As many take a fifth of a second."""
QUEUE_SIZE_MAX = 4096
"""At a few thousand decisions per second this is less than a second of waiting."""
DEADLINE_S = 5.0
ROUNDS_MAX = 3
"""How often a command may send holds ahead to expire. One round is enough unless others take what
these gave back, or what is short is learned one by one; the deadline ends it as well."""

Take = Callable[[asyncpg.Connection, Sequence[Command]], Awaitable[Sequence[Decision]]]
"""A guard: decides a batch in one transaction, or raises and nothing has happened."""

_log = structlog.get_logger(__name__)


class _Again(Struct, frozen=True):
    """The body of a decision that is none yet: these holds are to expire first."""

    expired: list[UUID]


_again = json.Decoder(_Again)


class _Waiting:
    """A queued command and everybody who waits for its decision."""

    __slots__ = ("command", "give_up_at_s", "key", "rounds", "sent_ahead", "waiters")

    def __init__(self, command: Command, *, sent_ahead: bool = False) -> None:
        call = command.call
        self.command = command
        self.sent_ahead = sent_ahead
        self.key = (call.caller, call.command_id, call.fingerprint)
        self.give_up_at_s = time.monotonic() + DEADLINE_S
        self.rounds = 0
        self.waiters: list[asyncio.Future[Decision]] = []


class Batcher:
    """Queues commands and decides them in batches; the product's has one in flight at a time.

    Two in flight were slower by a sixth even on 500 disjoint slots: smaller batches, the same work.
    Guards of the laboratory that do not batch get batches of one, and several in flight.
    """

    def __init__(
        self,
        take: Take,
        attempts: Attempts,
        *,
        batch_size_max: int = BATCH_SIZE_MAX,
        in_flight_max: int = 1,
        queue_size_max: int = QUEUE_SIZE_MAX,
        halving: bool = True,
        on_batch: Callable[[int], None] = lambda _: None,
        on_accepted: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_batch` is told each batch's size, `on_accepted` that a commit has put events into the log.

        Without `halving`, in the laboratory only, nobody looks for the command that makes a call raise.
        """
        self._take = take
        self._attempts = attempts
        self._batch_size_max = batch_size_max
        self._in_flight_max = in_flight_max
        self._queue_size_max = queue_size_max
        self._halving = halving
        self._on_batch = on_batch
        self._on_accepted = on_accepted
        self._queue: deque[_Waiting] = deque()
        self._queued: dict[tuple[str, str, bytes | None], _Waiting] = {}
        self._depth = 0
        self._answered_last = 0
        self._workers: set[asyncio.Task[None]] = set()
        self._draining = False

    @property
    def depth(self) -> int:
        """How many callers wait for a batch that has not begun."""
        return self._depth

    def submit(self, command: Command) -> asyncio.Future[Decision]:
        """Queue a command; the future is its decision, or raises the fault.

        A caller that goes away cancels its own waiting only: the command is decided all the same.

        Raises:
            QueueFull: at once, nothing happened.
            Draining: likewise.
        """
        if self._draining:
            raise Draining
        if self._depth >= self._queue_size_max:
            raise QueueFull
        call = command.call
        waiting = self._queued.get((call.caller, call.command_id, call.fingerprint))
        if waiting is None:
            waiting = _Waiting(command)
            self._queued[waiting.key] = waiting
            self._queue.append(waiting)
        self._depth += 1
        decision = asyncio.get_running_loop().create_future()
        waiting.waiters.append(decision)
        if len(self._workers) < self._in_flight_max:
            # Begins in the loop's next round: what arrives in this one shares the batch.
            worker = asyncio.create_task(self._work_off(), name="batcher")
            self._workers.add(worker)
        return decision

    def drain(self) -> None:
        """Refuse new commands from now on; queued ones are still decided."""
        self._draining = True

    async def stop(self) -> None:
        """Drain, and wait until the last queued command is decided or given up."""
        self.drain()
        await asyncio.gather(*self._workers)

    async def _work_off(self) -> None:
        try:
            while self._queue:
                batch = self._next_batch()
                self._on_batch(len(batch))
                self._put_back(await self._decide(batch))
        finally:
            # Here and not in a callback: whoever submits from now on starts another one.
            self._workers -= {asyncio.current_task()}

    def _next_batch(self) -> list[_Waiting]:
        """The oldest commands that may be decided together, of a crowd half; the others keep their place."""
        batch: list[_Waiting] = []
        later: list[_Waiting] = []
        taken: set[object] = set()
        queue = self._queue
        # Those answered just now ask again, or others do: with those who wait they are the crowd.
        half = (len(queue) + self._answered_last) // 2
        room = min(self._batch_size_max, max(UNDIVIDED_MAX, half))
        while queue and len(batch) < room:
            waiting = queue.popleft()
            same_id = waiting.key[:2]
            booking_id = waiting.command.booking_id
            if same_id in taken or (booking_id is not None and booking_id in taken):
                later.append(waiting)
            else:
                batch.append(waiting)
                if waiting.sent_ahead and len(batch) < SENT_AHEAD_MAX:
                    room += 1
                if self._queued.get(waiting.key) is waiting:  # not when an equal one came meanwhile
                    del self._queued[waiting.key]
                self._depth -= len(waiting.waiters)
            # Also when it must wait: nobody behind may overtake it.
            taken.add(same_id)
            taken.add(booking_id)
        queue.extendleft(reversed(later))
        self._answered_last = len(batch)
        return batch

    async def _decide(self, batch: list[_Waiting]) -> list[tuple[_Waiting, list[UUID]]]:
        """Decide a batch; when the call raises, its halves, until the one that raises is alone.

        Returns what is not decided yet, in the order of arrival, with the holds to expire first.
        """
        commands = [waiting.command for waiting in batch]
        give_up_at_s = max(waiting.give_up_at_s for waiting in batch)
        undecided: list[tuple[_Waiting, list[UUID]]] = []
        try:
            decisions = await self._attempts.run(
                lambda connection: self._take(connection, commands), give_up_at_s=give_up_at_s
            )
        except (DatabaseUnavailable, NotDecided) as fault:
            _fail(batch, fault)
        except Exception as error:  # noqa: BLE001 - nothing has happened; whose fault it is is found out
            if len(batch) > 1 and self._halving:
                half = len(batch) // 2
                undecided += await self._decide(batch[:half])
                undecided += await self._decide(batch[half:])
            else:
                _fail(batch, failed(commands[0].kind, commands[0].call.command_id, error))
        else:
            if any(decision.outcome == "accepted" for decision in decisions):
                self._on_accepted()
            for decision in sorted(decisions, key=lambda decision: decision.ordinal):
                if decision.outcome == "again":
                    undecided.append(
                        (batch[decision.ordinal], _again.decode(decision.body).expired)
                    )
                else:
                    _answer(batch[decision.ordinal], decision)
        return undecided

    def _put_back(self, undecided: Iterable[tuple[_Waiting, list[UUID]]]) -> None:
        """At the head of the queue: the holds that are to expire, then the commands they were in the way of.

        A command that only waits for those before it goes round as often as they do.
        """
        expiries: dict[UUID, _Waiting] = {}
        commands: list[_Waiting] = []
        for waiting, expired in undecided:
            if expired and waiting.rounds == ROUNDS_MAX:
                _fail(
                    [waiting], NotDecided(f"Holds were still in the way after {ROUNDS_MAX} rounds.")
                )
                continue
            waiting.rounds += bool(expired)
            deadline = waiting.command.call.deadline
            for booking_id in expired:
                if booking_id not in expiries:
                    expiries[booking_id] = _Waiting(
                        expire_hold(booking_id, deadline=deadline), sent_ahead=True
                    )
            commands.append(waiting)
            self._queued.setdefault(waiting.key, waiting)
            self._depth += len(waiting.waiters)
        self._queue.extendleft(reversed([*expiries.values(), *commands]))


def failed(kind: str, command_id: str, error: Exception) -> CommandFailed:
    """The fault of a command that makes the deciding call raise, logged with its cause.

    What Postgres raised was rolled back, what the driver refused was never sent; of an error of our
    own nobody knows whether it came after the commit.
    """
    constraint = getattr(error, "constraint_name", None)
    _log.error("command_failed", command=kind, command_id=command_id, error=repr(error))
    rule = f"the database's rule {constraint}" if constraint else "an unexpected error"
    undone = isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError)
    fault = CommandFailed(
        f"{kind} ran into {rule}; it {'did not happen' if undone else 'may have happened'}.",
        command_id=command_id,
        outcome="did-not-happen" if undone else "may-have-happened",
        constraint=constraint,
    )
    fault.__cause__ = error
    return fault


def _answer(waiting: _Waiting, decision: Decision) -> None:
    for waiter in waiting.waiters:
        if not waiter.done():
            waiter.set_result(decision)
        decision = decision.repeated()


def _fail(batch: Sequence[_Waiting], fault: Fault) -> None:
    for waiting in batch:
        for waiter in waiting.waiters:
            if not waiter.done():
                waiter.set_exception(fault)
