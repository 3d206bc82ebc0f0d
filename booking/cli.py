"""The command line of the write side, and of everything at once: `booking up`, `booking demo`.

Imports stand inside the commands: help appears at once, and `up` starts its servers before it
imports the rest. A mistake of the user is one sentence on standard error and exit code 2.
"""
# ruff: noqa: D301  click's mark for "do not wrap" is a backspace

import asyncio
import sys
from collections.abc import Awaitable, Callable

import rich_click as click

from booking.audit.cli import audit
from booking.edge.failures import Misconfigured
from booking.edge.invocation import data_dir_option, environ_of, run_process
from booking.epoch.cli import epoch
from booking.keys_cli import keys

PARTS = ("api", "relay", "projector", "queries")


def main() -> None:
    """Run a command; a misconfiguration ends it with one sentence and exit code 2."""
    try:
        sys.exit(booking.main(prog_name="booking", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except Misconfigured as mistake:
        sys.stderr.write(f"{mistake}\n")
        sys.exit(2)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="eventual-booking")
def booking() -> None:
    """Bookings that cannot be oversold, and reads that tell their age.

    \b
    booking up           everything, on http://127.0.0.1:8000
    booking demo         an oversell, shown and then prevented
    booking audit        do counters, bookings and log agree?
    booking keys list    who may call
    booking epoch new    the last step of a restore
    """


@booking.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), help="0 takes a free one (BOOKING_PORT, default 8000)."
)
@data_dir_option
@click.option(
    "--parts", default=",".join(PARTS), show_default=True, help="What to run, with commas."
)
def up(port: int | None, data_dir: str | None, parts: str) -> int:
    """Run everything: servers, API, queries, relay, projector.

    Postgres and NATS are started here, unless BOOKING_DATABASE_URL and BOOKING_NATS_URL name
    others. One line on standard output says when every part answers; ctrl-C ends it.

    \b
    booking up
    booking up --port 0 --data-dir /tmp/try
    booking up --parts api,relay
    """
    from pathlib import Path

    from booking.settings import load_settings
    from projector.settings import load_settings as load_read_settings

    environ = {"BOOKING_ENVIRONMENT": "development", "BOOKING_DATA_DIR": ".booking"}
    environ |= environ_of(data_dir)
    if port is not None:
        environ["BOOKING_PORT"] = str(port)
    chosen = _parts(parts)
    load_settings(environ, needs=())  # a mistake should not have to wait for the servers
    load_read_settings(environ, needs=())

    async def main(stop: asyncio.Event) -> None:
        from booking.embedded.servers import Servers

        # In a thread, while the servers start: the two halves of the start take equally long.
        importing = asyncio.create_task(asyncio.to_thread(_import_all_in_one))
        async with Servers(Path(environ["BOOKING_DATA_DIR"]), environ) as servers:
            run_all = await importing
            await run_all(servers, environ | servers.urls, parts=chosen, stop=stop)

    return run_process("up", main)


@booking.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def demo(arguments: tuple[str, ...]) -> None:
    """Show an oversell with the guard off, and none with it on.

    The same as `loadtest demo`, with the same options.

    \b
    booking demo
    booking demo --quick
    """
    import os

    # The laboratory knows the product over HTTP only, and the product does not import it. This
    # process becomes it, so that signals, the terminal and the exit code need no passing on.
    as_booking = "from loadtest.cli import main; main('booking')"
    os.execv(sys.executable, [sys.executable, "-c", as_booking, "demo", *arguments])  # noqa: S606 - no shell is the point


@booking.command()
@data_dir_option
def api(data_dir: str | None) -> int:
    """Serve the commands: every POST under /v1, and GET /v1/commands/*.

    In production, the default, every request needs an API key. The second line runs another API
    beside a `booking up`, with its servers and like it without keys.

    \b
    BOOKING_PORT=8010 booking api
    BOOKING_ENVIRONMENT=development BOOKING_PORT=8010 booking api
    """
    from booking.settings import load_settings

    async def main(stop: asyncio.Event) -> None:
        settings = load_settings(environ_of(data_dir), needs=("database_url",))
        from booking.app import run  # a mistake should not have to wait for it

        await run(settings, stop)

    return run_process("api", main)


@booking.command()
@data_dir_option
def relay(data_dir: str | None) -> int:
    """Copy the event log to NATS JetStream, as it grows.

    \b
    booking relay
    """
    from booking.settings import load_settings

    async def main(stop: asyncio.Event) -> None:
        settings = load_settings(environ_of(data_dir))
        from booking.relay import run  # a mistake should not have to wait for it

        await run(settings, stop)

    return run_process("relay", main)


@booking.command()
@data_dir_option
def migrate(data_dir: str | None) -> int:
    """Bring both schemas up to date, and store BOOKING_INITIAL_KEY when there is no key.

    \b
    BOOKING_MIGRATION_DATABASE_URL=postgresql://owner@db/booking booking migrate
    """

    async def main(_: asyncio.Event) -> None:
        from booking.all_in_one import migrate_both_sides

        applied = await migrate_both_sides(environ_of(data_dir), progress=click.echo)
        click.echo(f"{len(applied)} applied" if applied else "nothing to do")

    return run_process("migrate", main)


booking.add_command(audit)
booking.add_command(epoch)
booking.add_command(keys)


def _parts(text: str) -> list[str]:
    chosen = [part.strip() for part in text.split(",") if part.strip()]
    unknown = [part for part in chosen if part not in PARTS]
    if unknown or not chosen:
        raise Misconfigured(f"--parts takes any of {','.join(PARTS)}, not {text!r}.")
    return chosen


def _import_all_in_one() -> Callable[..., Awaitable[None]]:
    from booking.all_in_one import run

    return run


if __name__ == "__main__":
    main()
