"""The command `loadtest bench`: which measurements, how long, and where the result goes."""
# ruff: noqa: D301, PLC0415  click's mark for "do not wrap" is a backspace; imports inside, so that --help answers at once

import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path

import rich_click as click

from loadtest.cli.interruptible import run_interruptible
from loadtest.failures import CannotRunError


@click.command()
@click.argument("names", nargs=-1)
@click.option(
    "--list", "listing", is_flag=True, help="Names the measurements and how long each takes."
)
@click.option(
    "--rounds", type=click.IntRange(1), help="How often every arm takes its turn. [default: 5]"
)
@click.option("--seconds", type=click.FloatRange(0.1), help="How long a turn lasts. [default: 3]")
@click.option(
    "--sustained", type=click.FloatRange(0.5), help="How long lasts what must last. [default: 60 s]"
)
@click.option(
    "--connections",
    type=click.IntRange(1),
    help="Clients at once. [default: 128; in hot_slot 128, 256, 384 or 512, in whole_pipeline 192, 256 or 320, whichever suits]",
)
@click.option(
    "--slots",
    type=click.IntRange(1),
    multiple=True,
    help="Over how many slots guards are compared; may be given several times. [default: 1]",
)
@click.option("--events", type=click.IntRange(1000), help="How long the seeded logs are.")
@click.option(
    "--flush-delay-us",
    type=click.IntRange(1, 10_000),
    help="Every flush waits so long first, for the product and its yardsticks alike: as on a slower disk. What it takes then is measured.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where JSON and page go. [default: reports/bench-<time>]",
)
@click.option(
    "--json", "as_json", is_flag=True, help="One JSON value on standard output, for scripts."
)
def bench(
    *,
    names: tuple[str, ...],
    listing: bool,
    rounds: int | None,
    seconds: float | None,
    sustained: float | None,
    connections: int | None,
    slots: tuple[int, ...],
    events: int | None,
    flush_delay_us: int | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """How fast, against what: the product and its yardsticks, taking turns on this machine.

    Without names everything is measured but what --list marks, which takes about 20 minutes. Load goes to loopback only.

    \b
    loadtest bench
    loadtest bench --list
    loadtest bench hot_slot stays --rounds 3
    loadtest bench guards_compared --slots 1 --slots 16 --slots 10000
    loadtest bench flatness --events 1000000
    loadtest bench hot_slot --flush-delay-us 100

    Exit code 0: everything that was measured holds. 1: something does not. 2: could not be started. 130: interrupted.
    """
    from msgspec import structs

    from loadtest.bench.menu import MEASUREMENTS, ONLY_WHEN_ASKED
    from loadtest.bench.plan import Plan
    from loadtest.bench.run import run

    if listing:
        for name, measurement in MEASUREMENTS.items():
            asked = ", only when named" if name in ONLY_WHEN_ASKED else ""
            click.echo(f"{name:20} {measurement.CLAIM}  (about {measurement.ABOUT_S} s{asked})")
        return
    if unknown := [name for name in names if name not in MEASUREMENTS]:
        raise CannotRunError(
            f"There is no measurement {', '.join(unknown)}: `loadtest bench --list` names them."
        )
    plan = Plan()
    plan = structs.replace(
        plan,
        rounds=rounds or plan.rounds,
        turn_s=seconds or plan.turn_s,
        sustained_s=sustained or plan.sustained_s,
        connections=connections or plan.connections,
        clients=(connections,) if connections else plan.clients,
        pipeline_clients=(connections,) if connections else plan.pipeline_clients,
        slots=slots or plan.slots,
        rebuild_events=events or plan.rebuild_events,
        flat_events=events or plan.flat_events,
        flat_slots=max(1000, events // 5) if events else plan.flat_slots,
        flush_delay_us=flush_delay_us or plan.flush_delay_us,
    )
    chosen = list(dict.fromkeys(names)) or [n for n in MEASUREMENTS if n not in ONLY_WHEN_ASKED]
    sys.exit(
        run_interruptible(
            run(
                chosen,
                plan=plan,
                out=out or Path("reports") / f"bench-{datetime.now(UTC):%Y%m%d-%H%M%S}",
                as_json=as_json,
                again=shlex.join(["loadtest", "bench", *sys.argv[2:]]),
            )
        )
    )
