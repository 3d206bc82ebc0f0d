"""`projector verify`: the command."""
# ruff: noqa: D301  click's mark for "do not wrap" is a backspace

import asyncio
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import rich_click as click

from booking.edge.invocation import data_dir_option, environ_of, json_option, run_process

if TYPE_CHECKING:
    from projector.verify.verify import Report
    from projector.verify.witness import Witness

SHOWN_MAX = 20
"""Witnesses in words; `--json` has all that were kept."""


@click.command()
@click.option("--repair", is_flag=True, help="Mend what differs, from the log.")
@json_option
@data_dir_option
def verify(*, repair: bool, as_json: bool, data_dir: str | None) -> int:
    """Is every row of the read model what the log says?

    Reading, booking and projecting go on meanwhile. Exit code 0: every row is, or has been mended.
    1: some are not, and the witnesses say which, the smallest first. 2: it could not be found out.

    \b
    projector verify
    projector verify --repair
    projector verify --json | jq .drift
    """

    async def main(stop: asyncio.Event) -> int:
        import msgspec

        from booking.edge.failures import Misconfigured
        from booking.edge.progress import progress
        from projector.guards.dead_letters import TooManyDeadLetters
        from projector.rebuild.replay import LogChanged
        from projector.rebuild.shadow import Overtaken, ShadowInUse
        from projector.session import session, unless_stopped
        from projector.settings import load_settings
        from projector.verify.verify import NothingToVerify, Report
        from projector.verify.verify import verify as run_verify

        settings = load_settings(environ_of(data_dir))

        async def work() -> Report:
            async with session(settings, name="projector verify") as at:
                with progress() as tell:
                    return await run_verify(at.read_model, at.log, repair=repair, progress=tell)

        try:
            report = await unless_stopped(stop, work)
        except (ShadowInUse, NothingToVerify) as busy:
            raise Misconfigured(f"{busy} Wait until that has ended.") from busy
        except (LogChanged, Overtaken) as changed:
            raise Misconfigured(f"{changed} Run the command again.") from changed
        except TooManyDeadLetters as why:
            raise Misconfigured(f"Nothing is concluded: {why}") from why
        if report is None:
            click.echo("Stopped before the end: nothing is concluded.", err=True)
            return 130
        if as_json:
            click.echo(msgspec.json.format(msgspec.json.encode(report)).decode())
        else:
            for sentence in _sentences(report):
                click.echo(sentence)
        return 0 if report.verdict == "valid" or repair else 1

    return run_process("verify", main)


def _sentences(report: "Report") -> Iterator[str]:
    number = sum(report.drift.values())
    if not number:
        yield f"Every row is what the log says, up to position {report.position:,}."
    elif report.repaired:
        yield f"{number:,} rows were not what the log says, and are now (position {report.position:,})."
    else:
        yield (
            f"{number:,} rows are not what the log says at position {report.position:,}: "
            "`projector verify --repair` mends them."
        )
    yield f"  {report.rows:,} rows compared; {report.seconds:.1f} s"
    if report.left_out:
        yield (
            f"  {report.left_out:,} events were left out: dead letters "
            "(`projector dead-letters list`), or dropped for good."
        )
    for table, count in sorted(report.drift.items()):
        yield f"  {count:,} × {table}"
    for witness in report.witnesses[:SHOWN_MAX]:
        yield _sentence(witness)
    if number > SHOWN_MAX:
        yield f"… and {number - SHOWN_MAX:,} more"


def _sentence(witness: "Witness") -> str:
    row = f"{witness.kind}: {witness.table} {' '.join(map(str, witness.key.values()))}"
    match witness.kind:
        case "missing":
            return f"{row}: the log says {_facts(witness.log or {}, witness.key)}"
        case "surplus":
            return f"{row}: the log knows nothing of it"
        case "different":
            return (
                f"{row}: it says {_facts(witness.read_model or {}, witness.key)}; "
                f"the log says {_facts(witness.log or {}, witness.key)}"
            )


def _facts(row: Mapping[str, Any], key: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {'nothing' if value is None else value}"
        for name, value in row.items()
        if name not in key
    )
