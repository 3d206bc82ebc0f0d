"""The command `loadtest run`: which scenarios, on what, and which arms of them."""
# ruff: noqa: D301, PLC0415  click's mark for "do not wrap" is a backspace; imports inside, so that --help answers at once

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

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
from loadtest.failures import CannotRunError

if TYPE_CHECKING:
    from loadtest.experiment.scenario import Scenario


@click.command()
@click.argument("scenarios", nargs=-1, required=True)
@target_option
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
    and needs the scopes inventory:write, bookings:write and read; without operate the log cannot be read, and what needs it is unknown.

    Exit code 0: every claim held. 1: one was violated. 2: could not be started. 3: an experiment proved nothing. 130: interrupted.

    \b
    loadtest run oversell
    loadtest run all --seed 7 --out reports/reference
    loadtest run 1 2 --target http://127.0.0.1:8000
    """
    seed = a_seed(seed)
    from loadtest.reports.store import newest_controls

    chosen = _chosen(scenarios, target=target, arm=arm)
    out = new_folder(out)
    count = f"{len(chosen)} scenario{'s' if len(chosen) > 1 else ''}"
    click.echo(f"{count}. Seed {seed}, report in {out}/")
    sys.stdout.flush()
    words = ["loadtest", "run", *scenarios, "--seed", str(seed)]
    words += ["--target", target] if target else []
    words += ["--arm", arm] if arm else []
    words += ["--quick"] if quick else []
    sys.exit(
        run_interruptible(
            measured(
                chosen,
                seed=seed,
                out=out,
                reproduce=shlex.join(words),
                quick=quick,
                arm=arm,
                target=deployment(target),
                controls=newest_controls(out.parent) if target else None,
            )
        )
    )


def _chosen(names: Sequence[str], *, target: str | None, arm: str | None) -> "list[Scenario]":
    """The scenarios somebody asked for, in the order of their numbers.

    Raises:
        CannotRunError: there is none of that name, it has no such arm, or it cannot run against a deployment.
    """
    from loadtest.scenarios import SCENARIOS

    known = list(SCENARIOS.values())
    wanted = {name.lower() for name in names}
    unknown = wanted - {word for s in known for word in (s.name, str(s.number))} - {"all"}
    if unknown:
        raise CannotRunError(
            f"There is no scenario {', '.join(sorted(unknown))}: see `loadtest list`."
        )
    if "all" in wanted:
        chosen = [s for s in known if target is None or s.target]
    else:
        chosen = [s for s in known if wanted & {s.name, str(s.number)}]
    if target is not None and (inside := [s.name for s in chosen if not s.target]):
        raise CannotRunError(
            f"{', '.join(inside)} needs processes and settings of its own: leave out --target."
        )
    if arm is not None and (
        without := [
            s.name
            for s in chosen
            if not any(
                arm in (a.name, a.guard) and (target is None or a.guard == "on") for a in s.arms
            )
        ]
    ):
        where = " against a deployment" if target is not None else ""
        raise CannotRunError(f"{', '.join(without)} has no arm {arm}{where}: leave out --arm.")
    return chosen
