"""The command line of the read side: `projector run`, `projector api`, `projector status`.

Imports stand inside the commands, so help appears at once. A mistake of the user is one sentence on
standard error and exit code 2.
"""
# ruff: noqa: D301  click's mark for "do not wrap" is a backspace

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

import rich_click as click

from booking.edge.failures import Misconfigured

data_dir_option = click.option(
    "--data-dir",
    metavar="DIR",
    help="Where a running `booking up` keeps its run.json (BOOKING_DATA_DIR, default .booking).",
)


def main() -> None:
    """Run a command; a misconfiguration ends it with one sentence and exit code 2."""
    try:
        sys.exit(projector.main(prog_name="projector", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except click.Abort:
        sys.exit(130)
    except Misconfigured as mistake:
        sys.stderr.write(f"{mistake}\n")
        sys.exit(2)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="eventual-booking")
def projector() -> None:
    """Read models that may be late, and never lie about it.

    \b
    projector run        fold the event log into the read model
    projector api        answer queries, each with its age
    projector status     how far everybody is
    """


@projector.command()
@data_dir_option
def run(data_dir: str | None) -> int:
    """Fold the event log into the read model, for ever.

    Several may run: one works, the others stand by.

    \b
    PROJECTOR_METRICS_PORT=9102 projector run
    """

    async def work(stop: asyncio.Event) -> None:
        from projector.process import run
        from projector.settings import load_settings

        await run(load_settings(_environ(data_dir)), stop)

    return _run_process("projector", work)


@projector.command()
@data_dir_option
def api(data_dir: str | None) -> int:
    """Answer queries: every GET under /v1 but the commands'.

    \b
    PROJECTOR_PORT=8011 projector api
    """

    async def work(stop: asyncio.Event) -> None:
        from projector.app import serve_queries
        from projector.settings import load_settings

        await serve_queries(load_settings(_environ(data_dir)), stop)

    return _run_process("queries", work)


@projector.command()
@data_dir_option
@click.option("--url", help="Of the queries; default: the running `booking up`.")
@click.option("--key", help="An API key with the scope read, where one is needed.")
@click.option("--json", "as_json", is_flag=True, help="The answer of /v1/consistency as it is.")
def status(data_dir: str | None, url: str | None, key: str | None, *, as_json: bool) -> None:
    """Show how far log, stream, projectors and query nodes are.

    \b
    projector status
    projector status --json
    """
    from projector.status import fetch, lines, local_url

    answer = fetch(url or local_url(_environ(data_dir)), key=key)
    if as_json:
        click.echo(answer)
        return
    for line in lines(answer):
        click.echo(line)


def _environ(data_dir: str | None) -> dict[str, str]:
    """The environment without empty variables (compose writes `${X:-}`), and the option."""
    environ = {name: value for name, value in os.environ.items() if value.strip()}
    return environ | ({"BOOKING_DATA_DIR": data_dir} if data_dir else {})


def _run_process(name: str, work: Callable[[asyncio.Event], Awaitable[None]]) -> int:
    from booking.edge import logging
    from booking.edge.process import run

    logging.configure(name)
    return run(work)


if __name__ == "__main__":
    main()
