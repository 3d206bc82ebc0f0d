"""Postgres put back to an older copy: a new epoch, an honest read side, and operators' commands that work."""

import asyncio
import json
import os
import re
import shutil
import sys
import time
from pathlib import Path

import asyncpg
import pytest
from a_long_log import seed
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


HEALED_WITHIN_S = 10
"""The promise, for logs of up to 100,000 events; here it counts from the start of all processes."""


async def with_a_past(database_url: str, events: int) -> None:
    """A log that has so many events already."""
    connection = await asyncpg.connect(database_url)
    try:
        await seed(connection, events=events, slots=events // 50)
    finally:
        await connection.close()


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("copy_of_the_stream", "events"),
    [
        ("kept", 0),
        pytest.param("lost", 0, marks=pytest.mark.long),
        pytest.param("kept", 100_000, marks=pytest.mark.long),
    ],
)
async def test_after_a_restore_nobody_is_told_what_was_lost(
    tmp_path: Path, copy_of_the_stream, events, capsys
):
    data_dir = tmp_path / "data"
    async with running(data_dir) as up, up.client() as client:
        if events:
            await with_a_past(up.run_file["migration_database_url"], events)
        slot_id = await open_slot(client, capacity=100)
        for _ in range(5):
            await book(client, slot_id)

        async def all_seen() -> bool:
            return await shown(client, slot_id) == (200, 5)

        await eventually(all_seen, within_s=60)
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
    started_s = time.monotonic()
    async with running(data_dir) as up, up.client() as client:
        up_s = time.monotonic() - started_s
        if copy_of_the_stream == "lost":
            told = await booking("epoch", "new", "--json", "--data-dir", str(data_dir))
            assert told.code == 0, told.error
            assert set(json.loads(told.output)) == {"ended", "epoch", "position"}

        async def says_so() -> bool:
            return (await shown(client, slot_id, lost))[0] == 410

        await eventually(says_so, within_s=HEALED_WITHIN_S - up_s)
        if events:  # nothing is concluded about speed here beyond the promise; it is only told
            healed_s = time.monotonic() - started_s
            with capsys.disabled():
                sys.stdout.write(
                    f"\n{events:,} events: up in {up_s:.1f} s, healed in {healed_s:.1f} s\n"
                )
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
