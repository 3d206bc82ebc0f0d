"""`booking up` as a child of the test: started, asked, stopped, killed."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from eventually import eventually
from plain_http import plain_http

START_DEADLINE_S = 30
STOP_DEADLINE_S = 12


class Ended:
    """What a command left: exit code, standard output, standard error."""

    def __init__(self, code: int, output: str, error: str) -> None:
        self.code, self.output, self.error = code, output, error


async def booking(*arguments: str, environ: dict[str, str] | None = None) -> Ended:
    """Run a command that is expected to end by itself."""
    process = await _start(*arguments, environ=environ, error=asyncio.subprocess.PIPE)
    async with asyncio.timeout(START_DEADLINE_S):
        output, error = await process.communicate()
    return Ended(process.returncode, output.decode(), error.decode())


class Up:
    """A running `booking up`."""

    def __init__(self, process: asyncio.subprocess.Process, data_dir: Path, log: Path) -> None:
        self.process, self.data_dir, self.log = process, data_dir, log
        self.url = ""

    @property
    def run_file(self) -> dict[str, str]:
        return json.loads((self.data_dir / "run.json").read_text())

    def client(self) -> httpx.AsyncClient:
        return plain_http(self.url, timeout=10)

    def family(self) -> dict[int, str]:
        """Every process that descends from this one, with its command line."""
        return descendants(self.process.pid)

    async def ready(self) -> "Up":
        async with asyncio.timeout(START_DEADLINE_S):
            line = (await self.process.stdout.readline()).decode()
        assert line.startswith("booking is ready at http://127.0.0.1:"), (
            f"said {line!r}; its log ends: {self.log.read_text()[-2000:]}"
        )
        self.url = line.split()[-1]
        return self

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        async with asyncio.timeout(STOP_DEADLINE_S):
            return await self.process.wait()

    async def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()


async def start_up(data_dir: Path, *arguments: str, environ: dict[str, str] | None = None) -> Up:
    """Start `booking up` on a free port; it need not be ready yet."""
    log = data_dir.with_name(f"{data_dir.name}.stderr")
    with log.open("a") as error:
        process = await _start(
            *("up", "--port", "0", "--data-dir", str(data_dir), *arguments),
            environ=environ,
            error=error.fileno(),
        )
    return Up(process, data_dir, log)


class Running:
    """Another command of ours that runs until it is stopped; its log lines are read here."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def said(self, text: str) -> str:
        """The first log line that contains `text`."""
        async with asyncio.timeout(START_DEADLINE_S):
            while line := (await self.process.stderr.readline()).decode():
                if text in line:
                    return line
        raise AssertionError(f"ended without saying {text}")

    async def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(STOP_DEADLINE_S):
            await self.process.communicate()
        return self.process.returncode


async def start_child(*arguments: str, environ: dict[str, str] | None = None) -> Running:
    """Start a command that serves."""
    return Running(await _start(*arguments, environ=environ, error=asyncio.subprocess.PIPE))


@contextlib.asynccontextmanager
async def running(data_dir: Path, *arguments: str, **kwargs) -> AsyncIterator[Up]:
    """`booking up`, ready; stopped at the end if the test has not done so."""
    up = await start_up(data_dir, *arguments, **kwargs)
    try:
        yield await up.ready()
    finally:
        if up.process.returncode is None:
            await up.kill()
        await up.process.communicate()
        await eventually(lambda: not _mentioning(data_dir), within_s=20)


def descendants(pid: int) -> dict[int, str]:
    parents, commands = {}, {}
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            fields = (place / "stat").read_text().rpartition(")")[2].split()
            if fields[0] != "Z":
                parents[int(place.name)] = int(fields[1])
                command = (place / "cmdline").read_bytes().replace(b"\0", b" ")
                commands[int(place.name)] = command.decode(errors="replace")
    family, found = {pid}, True
    while found:
        found = {child for child, parent in parents.items() if parent in family} - family
        family |= found
    return {member: commands[member] for member in family if member in commands and member != pid}


def alive(pids) -> list[int]:
    """Which of these processes still run (a zombie does not)."""
    left = []
    for pid in pids:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                left.append(pid)
    return left


def _mentioning(data_dir: Path) -> list[int]:
    found = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(data_dir).encode() in command.read_bytes():
                found.append(int(command.parent.name))
    return [pid for pid in alive(found) if pid != os.getpid()]


async def _start(
    *arguments: str, environ: dict[str, str] | None, error
) -> asyncio.subprocess.Process:
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("BOOKING_", "PROJECTOR_"))
    }
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "booking.cli", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=error,
        env=clean | (environ or {}),
    )
