"""Processes that are somebody's children: who has started whom, and how one of ours is ended so that it is gone in any case."""

import asyncio
import contextlib
import signal
from pathlib import Path


async def end(process: asyncio.subprocess.Process, *, within_s: float) -> bool:
    """Asks one that still runs to end, also one that stands still; kills it afterwards, or when we are interrupted meanwhile. Whether it obeyed."""
    if process.returncode is not None:
        return True
    try:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.terminate()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await process.wait()
        return process.returncode is not None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def children_of(pid: int) -> dict[int, str]:
    """The processes another has started itself, by pid, with their command lines (Linux)."""
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except OSError:
            continue
        if int(parent) == pid:
            found[int(entry.name)] = command
    return found
