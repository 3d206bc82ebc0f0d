"""The system as a child: told what its arm is, quoted when it cannot start, gone when the laboratory is."""

import asyncio
import sys

import pytest
from eventually import eventually
from processes_about import processes_about

from loadtest.driver import Client
from loadtest.failures import CannotRunError
from loadtest.system.booking_up import booking_up, environment

KEEP_ONE_RUNNING = """
import asyncio, sys
from pathlib import Path
from loadtest.system.booking_up import booking_up

async def main():
    async with booking_up(Path(sys.argv[1]), settings={}, log_file=Path(sys.argv[2]), parts="api") as url:
        print(url, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def test_settings_of_some_other_system_do_not_get_through():
    own = {"PATH": "/bin", "BOOKING_DATABASE_URL": "precious", "PROJECTOR_SYNC": "polling"}
    given = environment(own, {"BOOKING_GUARD": "unguarded"})
    assert given["PATH"] == "/bin"
    assert given["BOOKING_ENVIRONMENT"] == "laboratory"
    assert given["BOOKING_GUARD"] == "unguarded"
    assert "precious" not in given.values()
    assert "PROJECTOR_SYNC" not in given


async def test_a_system_that_cannot_start_is_quoted(tmp_path):
    with pytest.raises(CannotRunError, match="BOOKING_GUARD"):
        async with booking_up(
            tmp_path / "data", settings={"BOOKING_GUARD": "hope"}, log_file=tmp_path / "log"
        ):
            pass


async def test_it_answers_while_it_is_wanted_and_leaves_nothing_behind(tmp_path):
    async with (
        booking_up(tmp_path / "data", settings={}, log_file=tmp_path / "log", parts="api") as url,
        Client(url) as client,
    ):
        assert (await client.request("GET", "/health/ready")).status == 200
        assert processes_about(tmp_path)
    assert processes_about(tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
async def test_a_killed_laboratory_leaves_nothing_behind(tmp_path):
    laboratory = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", KEEP_ONE_RUNNING, str(tmp_path / "data"), str(tmp_path / "log")),
        stdout=asyncio.subprocess.PIPE,
    )
    assert laboratory.stdout is not None
    assert (await laboratory.stdout.readline()).startswith(b"http://")
    assert processes_about(tmp_path / "data")
    laboratory.kill()
    await laboratory.wait()
    await eventually(lambda: not processes_about(tmp_path / "data"), within_s=12)
