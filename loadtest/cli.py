"""The laboratory's command line. Everything heavy is imported inside the command that needs it, so that the first line comes at once."""

import asyncio
import contextlib
import sys
from datetime import UTC, datetime
from pathlib import Path
from secrets import randbelow
from typing import TYPE_CHECKING

import rich_click as click

from loadtest.bench_cli import bench
from loadtest.failures import CannotRunError
from loadtest.interruptible import run_interruptible
from loadtest.verdict import HOLDS, INTERRUPTED, USAGE

if TYPE_CHECKING:
    from loadtest.findings import Findings


@click.group()
def cli() -> None:
    """Attacks the booking system over HTTP, with its guards off and on, and judges what happened from the event log."""


@cli.command("list")
def list_scenarios() -> None:
    """Names the scenarios and what each claims."""
    from loadtest.scenarios import SCENARIOS

    for name, scenario in SCENARIOS.items():
        click.echo(f"{name:12} {scenario.CLAIM}")


@cli.command()
@click.option("--seed", type=click.IntRange(0), help="Replays the people of an earlier run.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where history, logs and report go. [default: reports/<time>]",
)
@click.option("--quick", is_flag=True, help="Fewer sales, for continuous integration.")
def demo(*, seed: int | None, out: Path | None, quick: bool) -> None:
    """Oversells a slot with the guard off, and cannot with the guard on: the last units, seen too late.

    Exit code 0: every expectation held. 1: oversold in spite of the guard. 2: could not be started. 3: without the guard nothing was oversold
    either, so the experiment is worth nothing. 130: interrupted.
    """
    from loadtest.history import FILE

    seed = randbelow(10**6) if seed is None else seed
    out = out or Path("reports") / datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    click.echo(f"The last units of a popular slot, guard off and on. Seed {seed}, report in {out}/")
    sys.stdout.flush()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotRunError(
            f"{out} cannot be written ({error.strerror}): give another --out."
        ) from None
    if (out / FILE).exists():
        raise CannotRunError(
            f"{out} holds a run already, which stays as it is: give another --out."
        )
    reproduce = f"loadtest demo --seed {seed}{' --quick' if quick else ''}"
    sys.exit(run_interruptible(_demo(seed, out, reproduce, quick=quick)))


async def _demo(seed: int, out: Path, reproduce: str, *, quick: bool) -> int:
    from loadtest.reports.text import LiveProgress, PlainProgress, console, print_findings
    from loadtest.scenarios.oversell import FULL, QUICK, Oversell

    screen = console()
    progress = LiveProgress(screen) if screen.is_terminal else PlainProgress(screen)
    run = Oversell(
        QUICK if quick else FULL, seed=seed, out=out, reproduce=reproduce, progress=progress
    )
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await run.run()
    finally:
        progress.close()
        # Also when it was interrupted or could not go on: what was measured is kept.
        findings = run.findings()
        page = _kept(findings, out)
    print_findings(screen, findings)
    screen.print(f"report: {page}\nagain:  {findings.reproduce}", soft_wrap=True)
    return findings.exit_code


def _kept(findings: "Findings", out: Path) -> str:
    """Writes the report, unless there is nothing to write; returns where it is."""
    if not findings.rows:
        return "none, nothing was measured"
    from loadtest.reports.store import write

    return str(write(findings, out))


@cli.command()
@click.argument(
    "directories", nargs=-1, required=True, type=click.Path(file_okay=False, path_type=Path)
)
def report(directories: tuple[Path, ...]) -> None:
    """Shows the findings of earlier runs and writes their page again."""
    from loadtest.reports.store import read, write
    from loadtest.reports.text import console, print_findings

    for directory in directories:
        findings = read(directory)
        print_findings(console(), findings)
        click.echo(f"report: {write(findings, directory)}")


cli.add_command(bench)


def main() -> None:
    """The command `loadtest`."""
    try:
        code = cli(standalone_mode=False)
    except CannotRunError as error:
        click.echo(str(error), err=True)
        sys.exit(USAGE)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(INTERRUPTED)
    sys.exit(code or HOLDS)


if __name__ == "__main__":
    main()
