"""The command `loadtest demo`: an oversell shown, and then prevented; the shortest way to see what all this is about."""
# ruff: noqa: PLC0415  imports inside, so that --help answers at once

import sys
from pathlib import Path

import rich_click as click

from loadtest.cli.interruptible import run_interruptible
from loadtest.cli.measuring import a_seed, measured, new_folder, out_option, seed_option


@click.command()
@seed_option
@out_option
@click.option("--quick", is_flag=True, help="Fewer sales, for continuous integration.")
def demo(*, seed: int | None, out: Path | None, quick: bool) -> None:
    """Oversells a slot with the guard off, and cannot with the guard on: the last units, seen too late.

    Exit code 0: every expectation held. 1: oversold in spite of the guard. 2: could not be started. 3: without the guard nothing was oversold
    either, so the experiment is worth nothing. 130: interrupted.
    """
    seed = a_seed(seed)
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
