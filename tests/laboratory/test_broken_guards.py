"""The laboratory finds a guard that is broken on purpose: a copy of the product with one line changed, and the scenario that must notice.

One row per guard. The guarded arm alone is run, with the product's own settings: nothing but the change can be what it finds.
"""

import asyncio
import os
import shutil
import sys
from pathlib import Path

import pytest
from msgspec import Struct
from processes_about import processes_about

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

HOUSE = Path(__file__).parents[2]


class Broken(Struct, frozen=True, kw_only=True):
    """What is changed (file, what stands there, what instead) and who must find it."""

    guard: str
    changes: list[tuple[str, str, str]]
    scenario: str
    finds: str


BROKEN = [
    Broken(
        guard="the condition in the write, and its CHECK",
        changes=[
            (
                "booking/schema/0002_tables.sql",
                "CHECK (held + confirmed <= capacity + overbooking_units)",
                "CHECK (true)",
            ),
            (
                "booking/schema/0006_judging.sql",
                "ELSIF growth > s.capacity + s.overbooking_units - s.held - s.confirmed THEN",
                "ELSIF growth > s.capacity + 1000000 THEN",
            ),
            (
                "booking/schema/0009_deciding.sql",
                "<= now.capacity + now.overbooking_units;",
                "<= now.capacity + 1000000;",
            ),
        ],
        scenario="oversell",
        finds="units sold that did not exist",
    ),
    Broken(
        guard="waiting for the position of a token",
        changes=[
            (
                "projector/api/wait.py",
                "        if not asked.strong:\n            return asked.token, None\n",
                "        if not asked.strong:\n            return None, None\n",
            )
        ],
        scenario="read_your_booking",
        finds="VIOLATED",
    ),
    Broken(
        guard="If-Match",
        changes=[
            (
                "booking/schema/0006_judging.sql",
                "IF NOT s.version = ANY (c.if_match)\n",
                "IF false AND NOT s.version = ANY (c.if_match)\n",
            )
        ],
        scenario="lost_update",
        finds="VIOLATED",
    ),
    Broken(
        guard="the order of locks",
        changes=[
            (
                "booking/schema/0009_deciding.sql",
                "    ORDER BY s.slot_id FOR NO KEY UPDATE);",
                "    ORDER BY random() FOR NO KEY UPDATE);",
            )
        ],
        scenario="what_batching_could_break",
        finds="between processes that decided",
    ),
    Broken(
        guard="recorded_at under the lock of the log's head",
        changes=[
            (
                "booking/schema/0008_recording.sql",
                "recorded_at = greatest(head.recorded_at, clock_timestamp())",
                "recorded_at = transaction_timestamp()",
            )
        ],
        scenario="what_batching_could_break",
        finds="was recorded at",
    ),
    Broken(
        guard="a newer version only, in order and once",
        changes=[
            (
                "projector/guards/__init__.py",
                "newer_version_only: bool = True",
                "newer_version_only: bool = False",
            )
        ],
        scenario="duplicates_and_disorder",
        finds="that drifted from the log for good",
    ),
    Broken(
        guard="the watermark that Age is told by",
        changes=[
            (
                "projector/api/wait.py",
                "as_of = found.as_of if self._watermark else claimed_now(self._clock, found.as_of)",
                "as_of = claimed_now(self._clock, found.as_of)",
            ),
            (
                "projector/api/wait.py",
                "as_of = standing.as_of if self._watermark else claimed_now(self._clock, standing.as_of)",
                "as_of = claimed_now(self._clock, standing.as_of)",
            ),
        ],
        scenario="sleeping_projector",
        finds="asked for max-age=1 and was shown version",
    ),
    Broken(
        guard="merging what is heard into what is read",
        changes=[
            (
                "projector/replica/rules.py",
                "merge_changes: bool = True",
                "merge_changes: bool = False",
            )
        ],
        scenario="read_your_booking",
        finds="of slot",
    ),
]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The product and the laboratory, to be changed."""
    place = tmp_path / "copy"
    for room in ("booking", "projector", "loadtest"):
        shutil.copytree(
            HOUSE / room, place / room, ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
        )
    return place


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.guard)
async def test_a_guard_that_is_broken_is_found(broken, copy, tmp_path):
    for name, stands_there, instead in broken.changes:
        text = (copy / name).read_text()
        assert text.count(stands_there) == 1, f"{name} has changed: this test must change with it"
        (copy / name).write_text(text.replace(stands_there, instead))
    run = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadtest", "run", broken.scenario, "--quick", "--seed", "7"),
        *("--arm", "on", "--out", str(tmp_path / "out")),
        cwd=copy,
        env={"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said = (await run.communicate())[0].decode()
    assert run.returncode == 1, said
    assert "VIOLATED" in said
    assert broken.finds in said
    assert "smallest witness" in said
    assert processes_about(tmp_path) == []
