"""The demonstration itself, on the real system: the same test demands the oversell and its absence."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest
from processes_about import processes_about

from loadtest.history import read
from loadtest.reports import store

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """Where the demo puts its throw-away data; must be empty afterwards."""
    path = tmp_path / "tmp"
    path.mkdir()
    return path


async def demo(out: Path, temporary: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadtest", "demo", "--quick", "--seed", "7", "--out", str(out)),
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(temporary)},
        stdout=asyncio.subprocess.PIPE,
    )


async def test_without_the_guard_units_are_sold_twice_and_with_it_none_is(tmp_path, temporary):
    run = await demo(tmp_path / "out", temporary)
    said = (await run.communicate())[0].decode()
    assert run.returncode == 0, said
    [findings] = store.read(tmp_path / "out").scenarios

    late = next(cell for cell in findings.of("off") if cell.knob == 200)
    assert late.violations > 0
    assert f"{500 + 1} units sold of 500" in late.smallest_witness.sentence
    for cell in findings.of("on"):
        assert cell.violations == 0
        assert cell.measured("accepted") == 500
        assert cell.opportunities == cell.measured("refused") > 0
    for cell in findings.cells:
        assert cell.measured("age p50 ms") >= cell.knob
        assert cell.notes == []  # no request failed or stayed without an answer

    assert "HOLDS" in said
    assert (tmp_path / "out/report.html").stat().st_size > 10_000
    booked = [o for o in read(tmp_path / "out/oversell/history.jsonl") if o.op == "book"]
    assert {o.outcome for o in booked} == {"ok", "failed"}
    assert processes_about(tmp_path) == []
    assert list(temporary.iterdir()) == []


async def test_the_help_and_the_mistakes_of_booking_demo_speak_of_booking_demo():
    for words, code in ((["--help"], 0), (["--hlep"], 2)):
        ended = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "booking.cli", "demo", *words),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said = (await ended.communicate())[0].decode()
        assert ended.returncode == code
        assert "Usage: booking demo [OPTIONS]" in said
        assert "loadtest" not in said


async def test_an_earlier_run_is_not_written_over(tmp_path, temporary):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/history.jsonl").write_text("precious")
    run = await demo(tmp_path / "out", temporary)
    await run.communicate()
    assert run.returncode == 2
    assert (tmp_path / "out/history.jsonl").read_text() == "precious"


@pytest.mark.long
async def test_an_interrupted_demo_stops_what_it_started_and_keeps_what_it_measured(
    tmp_path, temporary
):
    run = await demo(tmp_path / "out", temporary)
    assert run.stdout is not None
    async for line in run.stdout:
        if b"S = 200 ms: sale" in line:
            break
    run.send_signal(signal.SIGINT)
    async with asyncio.timeout(60):
        said = (await run.communicate())[0].decode()
    assert run.returncode == 130
    assert "INTERRUPTED" in said
    findings = store.read(tmp_path / "out")
    assert [cell.knob for cell in findings.scenarios[0].cells] == [0]
    assert not findings.complete
    assert processes_about(tmp_path) == []
