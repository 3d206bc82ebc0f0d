"""The command `loadtest soak`: how long, how much, and where the report goes."""
# ruff: noqa: D301, PLC0415  click's mark for "do not wrap" is a backspace; imports inside, so that --help answers at once

import sys
from pathlib import Path

import rich_click as click
from msgspec.structs import replace

from loadtest.cli.interruptible import run_interruptible
from loadtest.cli.measuring import (
    a_seed,
    deployment,
    measured,
    new_folder,
    out_option,
    seed_option,
    target_option,
)


@click.command()
@click.option(
    "--minutes", type=click.FloatRange(0.2), default=10.0, show_default=True, help="How long."
)
@click.option(
    "--rate",
    type=click.FloatRange(0.1),
    help="Visitors per second, some three requests each. [default: half of what the system bears]",
)
@target_option
@seed_option
@out_option
def soak(
    *, minutes: float, rate: float | None, target: str | None, seed: int | None, out: Path | None
) -> None:
    """Mixed traffic (browse, hold, abandon, confirm, cancel, reschedule) judged period by period.

    Every 20 seconds new slots go on sale, the most popular sell out, and everything that was done and answered is judged. Memory of every
    process and the lag are watched; from five minutes on, growth is a violation. The key to a deployment is read from LOADTEST_KEY.

    Exit code 0: nothing went wrong and nothing grew. 1: something did. 2: could not be started. 3: the evidence has a hole. 130: interrupted.

    \b
    loadtest soak
    loadtest soak --minutes 60 --rate 40 --out reports/soak
    """
    from loadtest.soak import SOAK

    seed = a_seed(seed)
    out = new_folder(out)
    plan = replace(SOAK.plan, seconds=minutes * 60, visitors_per_s=rate)
    words = [f"loadtest soak --minutes {minutes:g} --seed {seed}"]
    words += [f"--rate {rate:g}"] if rate else []
    words += [f"--target {target}"] if target else []
    click.echo(f"{minutes:g} minutes of mixed traffic. Seed {seed}, report in {out}/")
    sys.stdout.flush()
    work = measured(
        [SOAK], seed=seed, out=out, reproduce=" ".join(words), plan=plan, target=deployment(target)
    )
    sys.exit(run_interruptible(work))
