"""The laboratory's command line. Everything heavy is imported inside the command that needs it, so that the first line comes at once."""

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from secrets import randbelow
from typing import TYPE_CHECKING, Any

import rich_click as click

from loadtest.bench_cli import bench
from loadtest.failures import CannotRunError
from loadtest.interruptible import run_interruptible
from loadtest.soak_cli import soak
from loadtest.verdict import HOLDS, INTERRUPTED, USAGE

if TYPE_CHECKING:
    from loadtest.laboratory import Target
    from loadtest.scenario import Scenario

seed_option = click.option(
    "--seed", type=click.IntRange(0), help="Replays the people of an earlier run."
)
out_option = click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where history, logs and report go. [default: reports/<time>]",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Attacks the booking system over HTTP, with its guards off and on, and judges what happened from the event log."""


@cli.command("list")
def list_scenarios() -> None:
    """Names the scenarios and what each claims."""
    from loadtest.scenarios import SCENARIOS

    for name, scenario in SCENARIOS.items():
        target = "  also with --target" if scenario.target else ""
        click.echo(f"{scenario.number:3}  {name:24} {scenario.claim}{target}")


@cli.command()
@seed_option
@out_option
@click.option("--quick", is_flag=True, help="Fewer sales, for continuous integration.")
def demo(*, seed: int | None, out: Path | None, quick: bool) -> None:
    """Oversells a slot with the guard off, and cannot with the guard on: the last units, seen too late.

    Exit code 0: every expectation held. 1: oversold in spite of the guard. 2: could not be started. 3: without the guard nothing was oversold
    either, so the experiment is worth nothing. 130: interrupted.
    """
    seed = randbelow(10**6) if seed is None else seed
    out = new_folder(out)
    click.echo(f"The last units of a popular slot, guard off and on. Seed {seed}, report in {out}/")
    sys.stdout.flush()
    from loadtest.scenarios import oversell

    reproduce = f"loadtest demo --seed {seed}{' --quick' if quick else ''}"
    plan = oversell.SCENARIO.quick if quick else oversell.DEMO
    sys.exit(
        run_interruptible(
            measured([oversell.SCENARIO], seed=seed, out=out, reproduce=reproduce, plan=plan)
        )
    )


@cli.command()
@click.argument("scenarios", nargs=-1, required=True)
@click.option(
    "--target", metavar="URL", help="Somebody's deployment instead of an embedded system."
)
@click.option(
    "--arm", metavar="NAME", help="Only this arm, by its name, or `on` or `off` for the guard."
)
@seed_option
@out_option
@click.option("--quick", is_flag=True, help="Smaller, for continuous integration.")
def run(
    *,
    scenarios: tuple[str, ...],
    target: str | None,
    arm: str | None,
    seed: int | None,
    out: Path | None,
    quick: bool,
) -> None:
    """Runs scenarios by name or number, or `all`, and writes a report.

    With --target only the arm with the guard on runs, on resources the run makes itself; the key to the deployment is read from LOADTEST_KEY
    and needs the scopes inventory:write, bookings:write, read and operate.

    Exit code 0: every claim held. 1: one was violated. 2: could not be started. 3: an experiment proved nothing. 130: interrupted.

    \b
    loadtest run oversell
    loadtest run all --seed 7 --out reports/reference
    loadtest run 1 2 --target http://127.0.0.1:8000
    """  # noqa: D301 -- click's mark for "do not wrap" is a backspace
    seed = randbelow(10**6) if seed is None else seed
    from loadtest.asked import newest_controls
    from loadtest.laboratory import Target

    chosen = _chosen(scenarios, target=target, arm=arm)
    somewhere = None
    if target is not None:
        import os

        somewhere = Target(url=target, key=os.environ.get("LOADTEST_KEY") or None)
    out = new_folder(out)
    click.echo(f"{len(chosen)} scenarios. Seed {seed}, report in {out}/")
    sys.stdout.flush()
    words = ["loadtest run", *scenarios, f"--seed {seed}"]
    words += [f"--target {target}"] if target else []
    words += [f"--arm {arm}"] if arm else []
    words += ["--quick"] if quick else []
    sys.exit(
        run_interruptible(
            measured(
                chosen,
                seed=seed,
                out=out,
                reproduce=" ".join(words),
                quick=quick,
                arm=arm,
                target=somewhere,
                controls=newest_controls(out.parent) if target else None,
            )
        )
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


@cli.command()
@click.argument(
    "directories", nargs=-1, required=True, type=click.Path(file_okay=False, path_type=Path)
)
@click.option(
    "--markdown",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Writes a page of Markdown as well, with its plots in a folder beside it.",
)
def report(directories: tuple[Path, ...], markdown: Path | None) -> None:
    """Judges a run again from its histories and writes its report anew; compares two runs.

    \b
    loadtest report reports/20260101-120000
    loadtest report reports/20260101-120000 --markdown docs/results.md
    loadtest report reports/before reports/after
    """  # noqa: D301 -- click's mark for "do not wrap" is a backspace
    from loadtest.reports.store import write
    from loadtest.reports.text import console, print_findings
    from loadtest.run import findings_of

    found = [findings_of(directory) for directory in directories]
    if markdown is not None:
        if len(found) != 1:
            raise click.UsageError("--markdown is of one run: give one directory.")
        from loadtest.reports.markdown import write_markdown

        write_markdown(found[0], markdown)
    if len(found) == 2:
        from loadtest.reports.comparison import print_comparison

        print_comparison(console(), found[0], found[1], names=[str(d) for d in directories])
        return
    for findings, directory in zip(found, directories, strict=True):
        print_findings(console(), findings)
        click.echo(f"report: {write(findings, directory)}")


cli.add_command(bench)
cli.add_command(soak)


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


def _chosen(names: Sequence[str], *, target: str | None, arm: str | None) -> "list[Scenario]":
    """The scenarios somebody asked for, in the order of their numbers.

    Raises:
        CannotRunError: there is none of that name, it has no such arm, or it cannot run against a deployment.
    """
    from loadtest.scenarios import SCENARIOS

    known = list(SCENARIOS.values())
    wanted = {name.lower() for name in names}
    if "all" in wanted:
        chosen = [s for s in known if target is None or s.target]
    else:
        chosen = [s for s in known if wanted & {s.name, str(s.number)}]
        unknown = wanted - {word for s in known for word in (s.name, str(s.number))}
        if unknown:
            raise CannotRunError(
                f"There is no scenario {', '.join(sorted(unknown))}: see `loadtest list`."
            )
    if target is not None and (inside := [s.name for s in chosen if not s.target]):
        raise CannotRunError(
            f"{', '.join(inside)} needs processes and settings of its own: leave out --target."
        )
    if arm is not None and (
        without := [s.name for s in chosen if not any(arm in (a.name, a.guard) for a in s.arms)]
    ):
        raise CannotRunError(f"{', '.join(without)} has no arm {arm}: leave out --arm.")
    return chosen


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
