"""Postgres put back to an older copy: a new epoch, an honest read side, and operators' commands that work."""

import asyncio
import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from eventually import eventually
from running import Ended, booking, running
from sale import book, open_slot


async def projector(*arguments: str) -> Ended:
    """Run a command of the read side that is expected to end by itself."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("BOOKING_", "PROJECTOR_"))
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "projector.cli", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=clean,
    )
    async with asyncio.timeout(30):
        output, error = await process.communicate()
    return Ended(process.returncode, output.decode(), error.decode())


async def shown(client, slot_id: str, token: str | None = None) -> tuple[int, int | None]:
    """What a reader is told: the status, and how many units are taken."""
    headers = {"Consistency-Token": token, "Prefer": "wait=5"} if token else {}
    answer = await client.get(f"/v1/slots/{slot_id}", headers=headers)
    return answer.status_code, answer.json().get("confirmed")


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "copy_of_the_stream", ["kept", pytest.param("lost", marks=pytest.mark.long)]
)
async def test_after_a_restore_nobody_is_told_what_was_lost(tmp_path: Path, copy_of_the_stream):
    data_dir = tmp_path / "data"
    async with running(data_dir) as up, up.client() as client:
        slot_id = await open_slot(client, capacity=100)
        for _ in range(5):
            await book(client, slot_id)
        assert await up.stop() == 0
    shutil.copytree(data_dir / "postgres", tmp_path / "backup", symlinks=True)

    async with running(data_dir) as up, up.client() as client:
        for _ in range(3):
            sold = await book(client, slot_id)
        lost = sold.headers["Consistency-Token"]
        assert await shown(client, slot_id, lost) == (200, 8)
        assert await up.stop() == 0

    shutil.rmtree(data_dir / "postgres")
    shutil.copytree(tmp_path / "backup", data_dir / "postgres", symlinks=True)
    if copy_of_the_stream == "lost":  # then nothing here remembers what was told
        shutil.rmtree(data_dir / "nats")
    async with running(data_dir) as up, up.client() as client:
        if copy_of_the_stream == "lost":
            told = await booking("epoch", "new", "--json", "--data-dir", str(data_dir))
            assert told.code == 0, told.error
            assert set(json.loads(told.output)) == {"ended", "epoch", "position"}

        async def says_so() -> bool:
            return (await shown(client, slot_id, lost))[0] == 410

        await eventually(says_so, within_s=10)
        assert await shown(client, slot_id) == (200, 5)
        again = await book(client, slot_id)  # takes up a position that was told before
        assert again.status_code == 201
        assert await shown(client, slot_id, again.headers["Consistency-Token"]) == (200, 6)
        verified = await projector("verify", "--json", "--data-dir", str(data_dir))
        assert verified.code == 0, verified.error + verified.output


@pytest.mark.timeout(60)
async def test_operators_rebuild_verify_and_look_at_a_running_system(tmp_path: Path):
    at = ("--data-dir", str(tmp_path / "data"))
    async with running(tmp_path / "data") as up, up.client() as client:
        slot_id = await open_slot(client, capacity=100)
        sold = await book(client, slot_id)
        token = sold.headers["Consistency-Token"]
        assert await shown(client, slot_id, token) == (200, 1)

        rebuilt = await projector("rebuild", "--json", *at)
        assert rebuilt.code == 0, rebuilt.error
        assert json.loads(rebuilt.output)["added_up"]
        assert await shown(client, slot_id, token) == (200, 1)

        verified = await projector("verify", *at)
        assert (verified.code, verified.output.splitlines()[0][:33]) == (
            0,
            "Every row is what the log says, u",
        )

        async def watched() -> bool:
            told = await client.get(f"{up.run_file['metrics_url']}/metrics")
            seen = re.findall(
                r"^projector_(drift_rows|verified_timestamp_seconds){.*} (\S+)$",
                told.text,
                re.MULTILINE,
            )
            return [name for name, value in seen if float(value) > 0] == [
                "verified_timestamp_seconds"
            ]

        await eventually(watched, because="the metrics say that it was verified, without drift")
        listed = await projector("dead-letters", "list", *at)
        assert (listed.code, listed.output) == (0, "There are no dead letters.\n")
        unknown = await projector("dead-letters", "retry", "4711", *at)
        assert unknown.code == 2
        assert "no dead letter at position 4711" in unknown.error
        assert "Traceback" not in unknown.error
