"""Nothing outlives the process that started it, however that one ends."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest
from eventually import eventually

from booking.edge.failures import Misconfigured
from booking.embedded.child import Child
from booking.embedded.lease import Lease
from booking.embedded.postgres import Postgres

STARTER = """
import asyncio, json, sys
from pathlib import Path
from booking.embedded.servers import Servers

async def main():
    async with Servers(Path(sys.argv[1]), {}) as servers:
        print(json.dumps([server.child.pid for server in servers.embedded]), flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""

DEAF = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
while True:
    signal.pause()
"""


async def started_servers(data_dir: Path) -> tuple[asyncio.subprocess.Process, list[int]]:
    """A process that has started both servers, and their pids."""
    starter = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STARTER, str(data_dir), stdout=asyncio.subprocess.PIPE
    )
    return starter, json.loads(await starter.stdout.readline())


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def processes_mentioning(path: Path) -> list[str]:
    found = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = command.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(path) in line and "-c \nimport" not in line:
            found.append(f"{command.parent.name} {line}")
    return found


async def test_servers_end_with_a_killed_parent_and_the_next_start_waits_for_them(tmp_path) -> None:
    starter, pids = await started_servers(tmp_path)
    starter.send_signal(signal.SIGKILL)
    await starter.wait()
    successor, new_pids = await started_servers(tmp_path)
    assert not any(alive(pid) for pid in pids), "the successor came up beside its predecessor"
    successor.send_signal(signal.SIGKILL)
    await successor.wait()
    await eventually(lambda: not any(alive(pid) for pid in new_pids))


async def test_a_killed_initdb_leaves_neither_a_process_nor_half_a_database(tmp_path) -> None:
    starter = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STARTER, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    await eventually((tmp_path / "postgres.unfinished").exists, every_s=0.001)
    starter.send_signal(signal.SIGKILL)
    await starter.wait()
    await eventually(lambda: not processes_mentioning(tmp_path))
    assert not (tmp_path / "postgres").exists()
    async with Postgres(tmp_path / "postgres", durable=False) as postgres:
        assert postgres.child.exit_code is None


async def test_a_process_that_ignores_the_request_to_stop_is_killed(tmp_path) -> None:
    stubborn = await Child.start(
        "stubborn",
        [sys.executable, "-c", DEAF],
        log=tmp_path / "log",
    )
    await eventually(lambda: "deaf" in (tmp_path / "log").read_text())
    assert await stubborn.stop(deadline_s=0.1) == -signal.SIGKILL


async def test_a_second_holder_of_a_data_directory_is_told_who_has_it(tmp_path) -> None:
    async with Lease(tmp_path):
        with pytest.raises(Misconfigured, match=f"pid {os.getpid()}.*--data-dir"):
            async with Lease(tmp_path):
                pass
    async with Lease(tmp_path):
        pass


async def test_a_pid_file_whose_number_belongs_to_a_stranger_does_not_stop_postgres(
    tmp_path,
) -> None:
    """After a restart of a machine or container any process may bear the old server's number."""
    async with Postgres(tmp_path / "data", durable=False):
        pass
    (tmp_path / "data/postmaster.pid").write_text(f"{os.getpid()}\n{tmp_path / 'data'}\n")
    async with Postgres(tmp_path / "data", durable=False) as postgres:
        assert postgres.child.exit_code is None
