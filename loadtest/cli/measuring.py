"""What `demo`, `run` and `soak` do alike: a seed, a folder of its own, the run, its report, and an exit code in the end."""
# ruff: noqa: PLC0415  imports inside, so that --help answers at once

import asyncio
import contextlib
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from secrets import randbelow
from typing import TYPE_CHECKING, Any

import rich_click as click

from loadtest.failures import CannotRunError

if TYPE_CHECKING:
    from loadtest.experiment.laboratory import Target
    from loadtest.experiment.scenario import Scenario

seed_option = click.option(
    "--seed", type=click.IntRange(0), help="Replays the people of an earlier run."
)
out_option = click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where history, logs and report go. [default: reports/<time>]",
)
target_option = click.option(
    "--target", metavar="URL", help="Somebody's deployment instead of an embedded system."
)


async def measured(
    scenarios: "Sequence[Scenario]",
    *,
    seed: int,
    out: Path,
    reproduce: str,
    quick: bool = False,
    arm: str | None = None,
    plan: Any = None,
    target: "Target | None" = None,
    controls: dict[str, str] | None = None,
) -> int:
    """Runs scenarios, writes their report and prints it; returns the exit code. Interrupted, it does so with what there is."""
    from loadtest.reports.text import LiveProgress, PlainProgress, console, print_findings
    from loadtest.run import Run

    screen = console()
    progress = LiveProgress(screen) if screen.is_terminal else PlainProgress(screen)
    run = Run(
        scenarios,
        seed=seed,
        out=out,
        reproduce=reproduce,
        progress=progress,
        quick=quick,
        arm=arm,
        plan=plan,
        target=target,
        controls=controls,
    )
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await run.run()
    finally:
        progress.close()
        # Also when it was interrupted or could not go on: what was measured is kept.
        findings = run.findings()
        page = "none, nothing was measured"
        if any(scenario.cells for scenario in findings.scenarios):
            from loadtest.reports.store import write

            page = str(write(findings, out))
    print_findings(screen, findings)
    screen.print(f"report: {page}\nagain:  {findings.reproduce}", soft_wrap=True)
    return findings.exit_code


def a_seed(asked: int | None) -> int:
    """The seed that was asked for, or one of its own."""
    return randbelow(10**6) if asked is None else asked


def deployment(url: str | None) -> "Target | None":
    """Somebody's deployment at that address, with the key to it from LOADTEST_KEY."""
    from loadtest.experiment.laboratory import Target

    return None if url is None else Target(url=url, key=os.environ.get("LOADTEST_KEY") or None)


def new_folder(out: Path | None) -> Path:
    """Makes the folder of a run.

    Raises:
        CannotRunError: it cannot be written, or holds something already.
    """
    out = out or Path("reports") / datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    try:
        out.mkdir(parents=True, exist_ok=True)
        full = any(out.iterdir())
    except OSError as error:
        raise CannotRunError(
            f"{out} cannot be written ({error.strerror}): give another --out."
        ) from None
    if full:
        raise CannotRunError(
            f"{out} holds something already, which stays as it is: give another --out."
        )
    return out
