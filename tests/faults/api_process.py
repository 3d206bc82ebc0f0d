"""A real `booking api` as a child of the test: started, asked, killed, paused, started again."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from eventually import eventually
from plain_http import plain_http

START_DEADLINE_S = 30


class ApiProcess:
    """One process on one port, which it keeps when it is started again."""

    def __init__(self, database_url: str, folder: Path, port: int, name: str) -> None:
        self.database_url, self.folder, self.port, self.name = database_url, folder, port, name
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / f"{name}.log"
        self.process: asyncio.subprocess.Process | None = None

    async def start(self, *, fault: str | None = None, **environ: str) -> "ApiProcess":
        """Start it, and return when it is ready."""
        settings = {
            "BOOKING_DATABASE_URL": self.database_url,
            "BOOKING_NATS_URL": "nats://127.0.0.1:1",
            "BOOKING_ENVIRONMENT": "laboratory",
            "BOOKING_PORT": str(self.port),
            "BOOKING_DATA_DIR": str(self.folder),
            "BOOKING_FAULT": fault or "",
        }
        with self.log.open("a") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "booking.cli", "api"),
                env=_without_ours(os.environ) | settings | environ,
                stdout=log.fileno(),
                stderr=log.fileno(),
            )
        await eventually(self.is_ready, within_s=START_DEADLINE_S, because=f"{self.name} is ready")
        return self

    async def is_ready(self) -> bool:
        assert self.process.returncode is None, self.log.read_text()[-2000:]
        with contextlib.suppress(httpx.TransportError):
            async with self.client() as client:
                return (await client.get("/health/ready")).status_code == 200
        return False

    def client(self, **options) -> httpx.AsyncClient:
        return plain_http(self.url, timeout=15, **options)

    def is_paused(self) -> bool:
        """Whether it has stopped itself (or was stopped) by a signal."""
        state = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state == "T"

    async def count(self, name: str) -> float:
        """What its metrics say of a counter, summed over the labels."""
        (url,) = set(
            re.findall(r"metrics_url=(\S+)|\"metrics_url\": ?\"([^\"]+)\"", self.log.read_text())[
                -1
            ]
        ) - {""}
        async with plain_http() as client:
            lines = (await client.get(f"{url}/metrics")).text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    async def ended(self) -> int:
        async with asyncio.timeout(START_DEADLINE_S):
            return await self.process.wait()

    async def kill(self) -> None:
        """SIGKILL, if it still lives."""
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGKILL)
            await self.process.wait()


@asynccontextmanager
async def api_processes(
    database_url: str, folder: Path, *names: str
) -> AsyncIterator[list[ApiProcess]]:
    """Several on one database, not started yet; killed at the end."""
    with contextlib.ExitStack() as ports:
        processes = []
        for name in names:
            holder = ports.enter_context(socket.socket())  # nobody else gets it meanwhile
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind(("127.0.0.1", 0))
            port = holder.getsockname()[1]
            processes.append(ApiProcess(database_url, folder, port, name))
        try:
            yield processes
        finally:
            await asyncio.gather(*(each.kill() for each in processes))


async def audit(database_url: str) -> tuple[int, str]:
    """`booking audit`: its exit code, and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "booking.cli", "audit"),
        env=_without_ours(os.environ) | {"BOOKING_DATABASE_URL": database_url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        said, _ = await process.communicate()
    return process.returncode, said.decode()


def _without_ours(environ) -> dict[str, str]:
    return {k: v for k, v in environ.items() if not k.startswith(("BOOKING_", "PROJECTOR_"))}
