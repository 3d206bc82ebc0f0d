"""One run of the bench: the chosen measurements one after the other, and what is left of them: text, JSON and a page."""

import asyncio
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from msgspec import structs

from loadtest.bench.disk import Flushes
from loadtest.bench.figures import Machine, Measured, Report
from loadtest.bench.menu import MEASUREMENTS
from loadtest.bench.plan import Bench, Plan
from loadtest.bench.store import encoded, write
from loadtest.bench.words import measured_in_words, summary
from loadtest.driver.percentile import percentile
from loadtest.failures import CannotRunError

Say = Callable[[str], None]


async def run(
    names: Sequence[str], *, plan: Plan, out: Path | None, as_json: bool, again: str
) -> int:
    """Measures, prints the summary on standard output and progress on standard error; returns the exit code.

    Args:
        names: of MEASUREMENTS, in the order they are to be made.
        plan: how long and how much.
        out: a folder for JSON and page; None leaves none.
        as_json: JSON on standard output in place of the summary.
        again: the command that repeats this run.

    Raises:
        CannotRunError: none of them could be made, or `out` cannot be written.
    """
    began_s = time.monotonic()

    def say(line: str) -> None:
        sys.stderr.write(f"{time.monotonic() - began_s:6.0f} s  {line}\n")
        sys.stderr.flush()

    report = await measure(names, plan=plan, say=say, again=again)
    if out is not None:
        say(f"report: {write(report, out)}")
    sys.stdout.write(encoded(report).decode() if as_json else f"{summary(report)}\n")
    return report.exit_code


async def measure(names: Sequence[str], *, plan: Plan, say: Say, again: str) -> Report:
    """The measurements of these names, in this order, and where they were made.

    Raises:
        CannotRunError: none of them could be made.
    """
    started_at, began_s, machine = datetime.now(UTC), time.monotonic(), this_machine()
    measured: list[Measured] = []
    flushes = Flushes(delay_us=plan.flush_delay_us)
    interrupted = False
    for number, name in enumerate(names, 1):
        say(f"{name} ({number} of {len(names)}): {MEASUREMENTS[name].CLAIM}")
        try:
            await flushes.look()
            measured.append(await _one(name, plan, say))
            await flushes.look()
        except asyncio.CancelledError:
            say("interrupted: what was measured is kept" if measured else "interrupted")
            interrupted = True
            break
        for line in measured_in_words(measured[-1]):
            say(f"  {line}")
    if not any(one.turns for one in measured) and not interrupted:
        raise CannotRunError(" ".join(sentence for one in measured for sentence in one.broken))
    return Report(
        interrupted=interrupted,
        not_measured=list(names[len(measured) :]),
        started_at=f"{started_at:%Y-%m-%dT%H:%M:%SZ}",
        took_s=time.monotonic() - began_s,
        command=again,
        machine=machine,
        fdatasync_p50_ms=percentile(flushes.bare_ms, 50),
        flush_delay_ms=plan.flush_delay_us / 1000,
        flush_p50_ms=percentile(flushes.delayed_ms, 50),
        measured=measured,
    )


async def _one(name: str, plan: Plan, say: Say) -> Measured:
    """One measurement in a folder of its own. Where it could not be made, the others still are; its sentence may point at a log there."""
    folder, since_s = Path(tempfile.mkdtemp(prefix="loadtest-bench-")), time.monotonic()
    try:
        one = await MEASUREMENTS[name].measure(Bench(plan=plan, folder=folder, say=say))
    except CannotRunError as error:
        claim = MEASUREMENTS[name].CLAIM
        return Measured(name=name, claim=claim, wanted=[], turns=[], broken=[str(error)])
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)
    return structs.replace(one, took_s=time.monotonic() - since_s)


def this_machine() -> Machine:
    """Where we are, and how busy it was before."""
    try:
        told = Path("/proc/cpuinfo").read_text()
    except OSError:
        told = ""
    models = [line.partition(":")[2].strip() for line in told.splitlines() if "model name" in line]
    return Machine(
        cores=len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 0,
        processor=models[0] if models else platform.machine(),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        load_before=os.getloadavg()[0],
    )
