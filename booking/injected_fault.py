"""The faults an experiment may ask of the write side itself, by BOOKING_FAULT; laboratory only.

Each strikes one process at one moment, named so that what a client may suspect can be told from what
is true: `kill_after_commit:3` ends `booking api` by SIGKILL when the third batch that sold something
is committed and nobody has been answered. A process counts from its own start, so one that is started
again is struck again; it passes over what is meant for the other kind of process. docs/settings.md
says what each is for.
"""

import asyncio
import os
import re
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import count
from typing import Any, NoReturn, TypeVar

import asyncpg
import structlog
from msgspec import Struct

from booking.batcher import Take
from booking.commands.command import Command, Decision
from booking.edge.failures import Misconfigured

ANSWERED_AFTER_S = 0.1
"""Answers leave within the event loop's next rounds, which takes a millisecond or a few."""
ROUNDS_TO_SEND = 3
"""The event loop hands what was written to the kernel at the end of a round; one would do."""

Begun = TypeVar("Begun")
Append = Callable[..., Awaitable[int]]
"""How the relay appends to the stream."""
Decisions = Sequence[Decision]
Strike = Callable[[Take, asyncpg.Connection, Sequence[Command]], Awaitable[Decisions]]
"""What happens to one batch instead of only being decided."""

_FAULT = re.compile(r"([a-z_]+):([1-9][0-9]{0,8})")
_log = structlog.get_logger(__name__)


def with_fault(take: Take, fault: str | None, *, environment: str) -> Take:
    """The guard of `booking api`, with the fault built in when one is asked for.

    Raises:
        Misconfigured: unknown, or asked for outside the laboratory.
    """
    moment = moment_of(fault, environment=environment)
    if moment is None or moment.point not in OF_THE_API:
        return take
    _log.warning("fault_will_be_injected", fault=fault)
    return OF_THE_API[moment.point](take, moment)


def appending_with_fault(append: Append, fault: str | None, *, environment: str) -> Append:
    """How `booking relay` appends, with the fault built in when one is asked for.

    Raises:
        Misconfigured: unknown, or asked for outside the laboratory.
    """
    moment = moment_of(fault, environment=environment)
    if moment is None or moment.point not in OF_THE_RELAY:
        return append
    _log.warning("fault_will_be_injected", fault=fault)
    return OF_THE_RELAY[moment.point](append, moment)


class Moment(Struct, frozen=True, kw_only=True):
    """When a fault strikes: the n-th time that a process comes to a point."""

    point: str
    number: int

    def has_come(self, nth: int) -> bool:
        """Whether it is now; said in the log before it strikes, for a killed process says nothing."""
        if nth != self.number:
            return False
        _log.warning("fault_strikes", fault=f"{self.point}:{self.number}")
        return True


def moment_of(fault: str | None, *, environment: str) -> Moment | None:
    """What BOOKING_FAULT asks for; None when it asks for nothing.

    Raises:
        Misconfigured: unknown, or asked for outside the laboratory.
    """
    if not fault:
        return None
    if environment != "laboratory":
        raise Misconfigured(
            "BOOKING_FAULT is for experiments only: unset it, or set BOOKING_ENVIRONMENT=laboratory."
        )
    asked = _FAULT.fullmatch(fault)
    points = [*OF_THE_API, *OF_THE_RELAY]
    if asked is None or asked[1] not in points:
        raise Misconfigured(
            f"BOOKING_FAULT={fault} is no fault: use <point>:<number>, such as kill_after_commit:3, "
            f"where the point is one of {', '.join(points)}; or unset it."
        )
    return Moment(point=asked[1], number=int(asked[2]))


def _at_batch(strike: Strike) -> Callable[[Take, Moment], Take]:
    """Strikes the batch with a number, in the order in which they are taken from the queue."""

    def build_in(take: Take, moment: Moment) -> Take:
        batches = count(1)

        async def taken(connection: asyncpg.Connection, commands: Sequence[Command]) -> Decisions:
            if moment.has_come(next(batches)):
                return await strike(take, connection, commands)
            return await take(connection, commands)

        return taken

    return build_in


def _after_sale(strike: Callable[[], None]) -> Callable[[Take, Moment], Take]:
    """Strikes when the batch with a number is committed, counting those that accepted something."""

    def build_in(take: Take, moment: Moment) -> Take:
        sales = count(1)

        async def taken(connection: asyncpg.Connection, commands: Sequence[Command]) -> Decisions:
            decisions = await take(connection, commands)
            accepted = any(decision.outcome == "accepted" for decision in decisions)
            if accepted and moment.has_come(next(sales)):
                strike()
            return decisions

        return taken

    return build_in


def _raises_in_call(take: Take, moment: Moment) -> Take:
    """The command with a number makes the call raise whatever batch it is in: a poison."""
    commands_seen = count(1)
    seen: set[tuple[str, str]] = set()
    poison: set[tuple[str, str]] = set()

    async def taken(connection: asyncpg.Connection, commands: Sequence[Command]) -> Decisions:
        ids = [(command.call.caller, command.call.command_id) for command in commands]
        for command_id in ids:
            if not poison and command_id not in seen:
                seen.add(command_id)  # a batch that is taken again is not counted again
                if moment.has_come(next(commands_seen)):
                    poison.add(command_id)
        if poison.intersection(ids):
            await connection.execute("DO $$ BEGIN RAISE 'a fault was injected'; END $$")
        return await take(connection, commands)

    return taken


async def _kill_before_call(*_: object) -> Decisions:
    _kill()


async def _kill_in_call(
    take: Take, connection: asyncpg.Connection, commands: Sequence[Command]
) -> Decisions:
    await _sent(take, connection, commands)
    _kill()


async def _kill_before_commit(
    take: Take, connection: asyncpg.Connection, commands: Sequence[Command]
) -> Decisions:
    async with connection.transaction():
        await take(connection, commands)
        _kill()


async def _pause_in_call(
    take: Take, connection: asyncpg.Connection, commands: Sequence[Command]
) -> Decisions:
    call = await _sent(take, connection, commands)
    _pause()
    return await call


async def _pause_before_commit(
    take: Take, connection: asyncpg.Connection, commands: Sequence[Command]
) -> Decisions:
    async with connection.transaction():
        decisions = await take(connection, commands)
        _pause()
    return decisions


async def _lose_connection(
    take: Take, connection: asyncpg.Connection, commands: Sequence[Command]
) -> Decisions:
    call = await _sent(take, connection, commands)
    connection.terminate()
    await call
    raise ConnectionResetError  # an answer that was faster is lost all the same


def _kills_in_append(append: Append, moment: Moment) -> Append:
    """The relay dies with an append on its way, whose acknowledgement it will never read."""
    appends = count(1)

    async def appended(*batch: Any) -> int:
        if not moment.has_come(next(appends)):
            return await append(*batch)
        await _begun(append(*batch))
        _kill()

    return appended


async def _sent(
    take: Take, connection: asyncpg.Connection, commands: Sequence[Command]
) -> "asyncio.Future[Decisions]":
    """The call, on its way to the database and not answered.

    The empty batch makes the driver prepare the statement, so that what is sent next is the call.
    """
    await take(connection, [])
    return await _begun(take(connection, commands))


async def _begun(work: Awaitable[Begun]) -> "asyncio.Future[Begun]":
    begun = asyncio.ensure_future(work)
    for _ in range(ROUNDS_TO_SEND):
        await asyncio.sleep(0)
    return begun


def _kill() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def _kill_soon() -> None:
    asyncio.get_running_loop().call_later(ANSWERED_AFTER_S, _kill)


def _pause() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


OF_THE_API: Mapping[str, Callable[[Take, Moment], Take]] = {
    "kill_before_call": _at_batch(_kill_before_call),
    "kill_in_call": _at_batch(_kill_in_call),
    "kill_before_commit": _at_batch(_kill_before_commit),
    "kill_after_commit": _after_sale(_kill),
    "kill_after_answer": _after_sale(_kill_soon),
    "pause_in_call": _at_batch(_pause_in_call),
    "pause_before_commit": _at_batch(_pause_before_commit),
    "raise_in_call": _raises_in_call,
    "lose_connection": _at_batch(_lose_connection),
}
OF_THE_RELAY: Mapping[str, Callable[[Append, Moment], Append]] = {
    "kill_in_append": _kills_in_append
}
