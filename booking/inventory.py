"""Decides the commands of the back office: one at a time each, on a bounded number of connections.

Nobody queues for a resource's creation, so these are not batched. They share the re-run rules of all
deciding calls (`booking.attempts`).
"""

import time
from collections.abc import Callable

from booking.attempts import Attempts, DecidingCall
from booking.batcher import DEADLINE_S, failed
from booking.commands.command import Decision
from booking.faults import Draining, Fault, QueueFull

IN_FLIGHT_MAX = 64
"""More would only wait for the pool's few connections."""


class Inventory:
    """Runs single deciding calls."""

    def __init__(self, attempts: Attempts, *, on_accepted: Callable[[], None]) -> None:
        """`on_accepted` is told that a commit has put events into the log."""
        self._attempts = attempts
        self._on_accepted = on_accepted
        self._in_flight = 0
        self._draining = False

    def drain(self) -> None:
        """Refuse new commands from now on."""
        self._draining = True

    async def decide(self, kind: str, command_id: str, take: DecidingCall[Decision]) -> Decision:
        """The decision of one command.

        Raises:
            Fault: it could not be decided; the fault says whether it may have happened.
        """
        if self._draining:
            raise Draining
        if self._in_flight >= IN_FLIGHT_MAX:
            raise QueueFull
        self._in_flight += 1
        try:
            decision = await self._attempts.run(take, give_up_at_s=time.monotonic() + DEADLINE_S)
        except Fault:
            raise
        except Exception as error:
            raise failed(kind, command_id, error) from error
        finally:
            self._in_flight -= 1
        if decision.outcome == "accepted":
            self._on_accepted()
        return decision
