"""The plain Litestar application as a child process, and its two arms: POST and GET."""

import asyncio
import contextlib
import socket
import sys
import uuid
from collections.abc import AsyncIterator

from loadtest.bench.arm import HttpArm, same
from loadtest.driver import Client
from loadtest.failures import CannotRunError
from loadtest.instruments.cpu_used import used_by
from loadtest.system.child_processes import end
from loadtest.workloads.many_bookings import one_unit_each

MODULE = "loadtest.baselines.plain_litestar"
READY_DEADLINE_S = 20.0
STOP_DEADLINE_S = 5.0


class Plain:
    """The running application."""

    def __init__(self, url: str, pid: int) -> None:
        self.url = url
        self._read_cpu = used_by(pid, "plain")

    def post(self, *, connections: int) -> HttpArm:
        """The arm that sends bookings of one line."""
        return HttpArm(
            "plain POST",
            self.url,
            requests=one_unit_each(self.url, "/v1/bookings", [str(uuid.uuid4())]),
            wanted=201,
            read_cpu=self._read_cpu,
            connections=connections,
        )

    def get(self, *, connections: int) -> HttpArm:
        """The arm that asks for a slot."""
        path = f"/v1/slots/{uuid.uuid4()}"
        return HttpArm(
            "plain GET",
            self.url,
            requests=lambda: same(self.url, path),
            wanted=200,
            read_cpu=self._read_cpu,
            connections=connections,
        )


@contextlib.asynccontextmanager
async def plain_litestar() -> AsyncIterator[Plain]:
    """Runs it on a free port of loopback; on leaving it has ended.

    Raises:
        CannotRunError: it does not answer.
    """
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", MODULE, "--fd", str(listener.fileno())),
            pass_fds=[listener.fileno()],
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        async with Client(url, connections_max=1, timeout_s=READY_DEADLINE_S) as client:
            # The socket listens already, so the first answer is the sign.
            if (await client.request("GET", f"/v1/slots/{uuid.uuid4()}")).status != 200:
                raise CannotRunError("The plain Litestar application does not answer.")
        yield Plain(url, child.pid)
    finally:
        if not await end(child, within_s=STOP_DEADLINE_S):
            raise TimeoutError(f"{MODULE} did not end within {STOP_DEADLINE_S:.0f} s.")
