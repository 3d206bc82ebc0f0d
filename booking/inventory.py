"""Decides the commands of the back office: one at a time each, on a bounded number of connections.

Nobody queues for a resource's creation, so these are not batched. They share the re-run rules of all
deciding calls (`booking.attempts`).
"""

import time
from collections.abc import Callable

from booking.attempts import Attempts, DecidingCall
from booking.batcher import DEADLINE_S, failed
from booking.commands import CreateResource, Decision, OpenSlots, SetPolicy
from booking.faults import Draining, Fault, QueueFull

IN_FLIGHT_MAX = 64
"""More would only wait for the pool's few connections."""


Order = CreateResource | SetPolicy | OpenSlots
Refusing = Callable[[Order], DecidingCall[Decision] | None]
"""What answers an order instead of deciding it; None: it is decided."""


class Inventory:
    """Runs single deciding calls."""

    def __init__(
        self,
        attempts: Attempts,
        *,
        on_accepted: Callable[[], None],
        refusing: Refusing | None = None,
    ) -> None:
        """`on_accepted` is told that a commit has put events into the log; `refusing` is an arm's of the laboratory."""
        self._attempts = attempts
        self._on_accepted = on_accepted
        self._refusing = refusing
        self._in_flight = 0
        self._draining = False

    def drain(self) -> None:
        """Refuse new commands from now on."""
        self._draining = True

    async def decide(self, order: Order, command_id: str, take: DecidingCall[Decision]) -> Decision:
        """The decision of one command, by `take`.

        Raises:
            Fault: it could not be decided; the fault says whether it may have happened.
        """
        if self._draining:
            raise Draining
        if self._in_flight >= IN_FLIGHT_MAX:
            raise QueueFull
        self._in_flight += 1
        try:
            call = (self._refusing and self._refusing(order)) or take
            decision = await self._attempts.run(call, give_up_at_s=time.monotonic() + DEADLINE_S)
        except Fault:
            raise
        except Exception as error:
            raise failed(type(order).__name__, command_id, error) from error
        finally:
            self._in_flight -= 1
        if decision.outcome == "accepted":
            self._on_accepted()
        return decision
