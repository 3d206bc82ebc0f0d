"""The faults an experiment may ask of the write side itself, by BOOKING_FAULT; laboratory only.

`kill_after_commit:3` ends the process by SIGKILL when the third batch that sold something is committed
and before anybody is answered: the moment a client cannot tell from one that never happened.
"""

import os
import re
import signal
from collections.abc import Sequence
from itertools import count

import asyncpg
import structlog

from booking.batcher import Take
from booking.commands.command import Command, Decision
from booking.edge.failures import Misconfigured

_FAULT = re.compile(r"kill_after_commit:([1-9][0-9]{0,8})")

_log = structlog.get_logger(__name__)


def with_fault(take: Take, fault: str | None, *, environment: str) -> Take:
    """The guard, with the fault built in when one is asked for.

    Raises:
        Misconfigured: unknown, or asked for outside the laboratory.
    """
    if not fault:
        return take
    if environment != "laboratory":
        raise Misconfigured(
            "BOOKING_FAULT is for experiments only: unset it, or set BOOKING_ENVIRONMENT=laboratory."
        )
    asked = _FAULT.fullmatch(fault)
    if asked is None:
        raise Misconfigured(
            f"BOOKING_FAULT={fault} is no fault: use kill_after_commit:<number>, or unset it."
        )
    _log.warning("fault_will_be_injected", fault=fault)
    last, commits = int(asked[1]), count(1)

    async def dies_after_commit(
        connection: asyncpg.Connection, commands: Sequence[Command]
    ) -> Sequence[Decision]:
        decisions = await take(connection, commands)
        if any(decision.outcome == "accepted" for decision in decisions) and next(commits) == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return decisions

    return dies_after_commit
