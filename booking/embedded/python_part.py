"""A part of the system in a process of its own, as `booking up` runs the relay and the projector."""

import signal
import socket
import sys
from collections.abc import Mapping, Sequence

from booking.embedded.child import Child


class PythonPart:
    """One command of ours as a child, with a second listener (health, metrics) we know the port of."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environ: Mapping[str, str],
        port_variable: str,
        inherited: Sequence[int] = (),
    ) -> None:
        """Prepare `python -m command…`; nothing runs before `start`."""
        self.name = name
        self.child: Child | None = None
        self._command = command
        self._inherited = inherited
        self._reservation, port = _reserve_port()
        self.url = f"http://127.0.0.1:{port}"
        self._environ = dict(environ) | {
            port_variable: str(port),
            port_variable.replace("_PORT", "_HOST"): "127.0.0.1",
        }
        # The leash says it, for every kind of child and from the first instruction on.
        self._environ.pop("BOOKING_PARENT_PID", None)

    async def start(self) -> None:
        """Start it (again)."""
        self.child = await Child.start(
            self.name,
            [sys.executable, "-m", *self._command],
            on_parent_death=signal.SIGKILL,  # what it may lose, any crash may make it lose
            environ=self._environ,
            inherited=self._inherited,
        )

    async def stop(self, *, deadline_s: float = 4) -> None:
        """Ask it to end; after the deadline it is killed."""
        if self.child is not None:
            await self.child.stop(deadline_s=deadline_s)
        self._reservation.close()

    def last_word(self) -> str:
        """Say where its words are: they went to our own standard error."""
        return "see its own lines above"


def _reserve_port() -> tuple[socket.socket, int]:
    """Return a socket that keeps a free port for a child, and the port.

    It is bound and never listens, so with SO_REUSEADDR the child may bind the same port, also when
    it is started again, while nobody else is given it.
    """
    reservation = socket.socket()
    reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reservation.bind(("127.0.0.1", 0))
    return reservation, int(reservation.getsockname()[1])
