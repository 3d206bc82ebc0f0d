"""The command line of the read side: what runs, what shows, and what an operator mends with.

Imports stand inside the commands, so help appears at once. A mistake of the user is one sentence on
standard error and exit code 2.
"""
# ruff: noqa: D301  click's mark for "do not wrap" is a backspace

import asyncio
import sys

import rich_click as click

from booking.edge.failures import Misconfigured
from booking.edge.invocation import data_dir_option, environ_of, run_process
from projector.dead_letters.cli import dead_letters
from projector.rebuild.cli import rebuild
from projector.verify.cli import verify


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
    projector verify     is every row what the log says? --repair mends
    projector rebuild    fold everything anew, while it is read
    projector dead-letters list    events that could not be taken in
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
        from projector.settings import load_settings

        settings = load_settings(environ_of(data_dir))
        from projector.process import run  # a mistake should not have to wait for it

        await run(settings, stop)

    return run_process("projector", work)


@projector.command()
@data_dir_option
def api(data_dir: str | None) -> int:
    """Answer queries: every GET under /v1 but the commands'.

    In production, the default, every request needs an API key. The second line runs more queries
    beside a `booking up`, with its servers and like it without keys.

    \b
    PROJECTOR_PORT=8011 projector api
    BOOKING_ENVIRONMENT=development PROJECTOR_PORT=8011 projector api
    """

    async def work(stop: asyncio.Event) -> None:
        from projector.settings import load_settings

        settings = load_settings(environ_of(data_dir))
        from projector.app import serve_queries  # a mistake should not have to wait for it

        await serve_queries(settings, stop)

    return run_process("queries", work)


@projector.command()
@data_dir_option
@click.option("--url", help="Of the queries; default: the running `booking up`.")
@click.option("--key", help="An API key with the scope read, where one is needed.")
@click.option(
    "--nats-monitoring-url",
    help="Of any NATS server (PROJECTOR_NATS_MONITORING_URL); default: the running `booking up`'s.",
)
@click.option(
    "--metrics-url",
    "metrics_urls",
    multiple=True,
    help="Of a metrics listener, any number; default: the running `booking up`'s.",
)
@click.option("--watch", is_flag=True, help="Show it again and again, until ctrl-C.")
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(0.2, 3600),
    default=1.0,
    show_default=True,
    help="Seconds between two looks of --watch.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON value a look, for scripts.")
def status(
    data_dir: str | None,
    url: str | None,
    key: str | None,
    nats_monitoring_url: str | None,
    metrics_urls: tuple[str, ...],
    *,
    watch: bool,
    every_s: float,
    as_json: bool,
) -> int:
    """Show how far log, relay, stream, projectors and query nodes are, and what needs a hand.

    Exit code 0: nothing does. 1: something does. 2: the queries could not be asked.

    \b
    projector status
    projector status --watch
    projector status --json | jq .troubles
    projector status --url https://tickets.example --key "$KEY" --nats-monitoring-url http://nats:8222
    """
    from projector.status import show, sources

    at = sources(
        environ_of(data_dir),
        url=url,
        key=key,
        monitoring_url=nats_monitoring_url,
        metrics_urls=metrics_urls,
    )
    return show(at, every_s=every_s if watch else None, as_json=as_json)


projector.add_command(rebuild)
projector.add_command(verify)
projector.add_command(dead_letters)


if __name__ == "__main__":
    main()
