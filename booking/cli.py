"""The command line of the write side, and of everything at once: `booking up`, `booking demo`.

Imports stand inside the commands: help appears at once, and `up` starts its servers before it
imports the rest. A mistake of the user is one sentence on standard error and exit code 2.
"""
# ruff: noqa: D301  click's mark for "do not wrap" is a backspace

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, cast
from uuid import UUID

import rich_click as click

from booking.edge.failures import Misconfigured

if TYPE_CHECKING:
    import asyncpg

PARTS = ("api", "relay", "projector", "queries")

click.rich_click.TEXT_PARAGRAPH_LINEBREAKS = "\n\n"
click.rich_click.PADDING_HELPTEXT_FIRST_LINE = (0, 0, 1, 0)

data_dir_option = click.option(
    "--data-dir",
    metavar="DIR",
    help="Where `booking up` keeps its data and run.json (BOOKING_DATA_DIR, default .booking).",
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON value, for scripts.")


def main() -> None:
    """Run a command; a misconfiguration ends it with one sentence and exit code 2."""
    try:
        sys.exit(booking.main(prog_name="booking", standalone_mode=False) or 0)
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
def booking() -> None:
    """Bookings that cannot be oversold, and reads that tell their age.

    \b
    booking up           everything, on http://127.0.0.1:8000
    booking demo         an oversell, shown and then prevented
    booking keys list    who may call
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

    environ = {"BOOKING_ENVIRONMENT": "development", "BOOKING_DATA_DIR": ".booking"}
    environ |= _environ(data_dir)
    if port is not None:
        environ["BOOKING_PORT"] = str(port)
    chosen = _parts(parts)

    async def main(stop: asyncio.Event) -> None:
        from booking.embedded.servers import Servers

        # In a thread, while the servers start: the two halves of the start take equally long.
        importing = asyncio.create_task(asyncio.to_thread(_import_all_in_one))
        async with Servers(Path(environ["BOOKING_DATA_DIR"]), environ) as servers:
            run_all = await importing
            await run_all(servers, environ | servers.urls, parts=chosen, stop=stop)

    return _run("up", main)


@booking.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def demo(arguments: tuple[str, ...]) -> int:
    """Show an oversell with the guard off, and none with it on.

    The same as `loadtest demo`, with the same options.

    \b
    booking demo
    booking demo --quick
    """
    import subprocess

    # The laboratory knows the product over HTTP only, and the product does not know it at all.
    child = subprocess.Popen([sys.executable, "-m", "loadtest", "demo", *arguments])  # noqa: S603
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:  # the terminal told the child, too: let it end in order
            continue


@booking.command()
@data_dir_option
def api(data_dir: str | None) -> int:
    """Serve the commands: every POST under /v1.

    \b
    BOOKING_PORT=8010 booking api
    """
    from booking.settings import load_settings

    async def main(stop: asyncio.Event) -> None:
        from booking.app import run

        await run(load_settings(_environ(data_dir), needs=("database_url",)), stop)

    return _run("api", main)


@booking.command()
@data_dir_option
def relay(data_dir: str | None) -> int:
    """Copy the event log to NATS JetStream, as it grows.

    \b
    booking relay
    """
    from booking.settings import load_settings

    async def main(stop: asyncio.Event) -> None:
        from booking.relay import run

        await run(load_settings(_environ(data_dir)), stop)

    return _run("relay", main)


@booking.command()
@data_dir_option
def migrate(data_dir: str | None) -> int:
    """Bring both schemas up to date, and store BOOKING_INITIAL_KEY when there is no key.

    \b
    BOOKING_MIGRATION_DATABASE_URL=postgresql://owner@db/booking booking migrate
    """

    async def main(_: asyncio.Event) -> None:
        from booking.all_in_one import migrate_both_sides

        applied = await migrate_both_sides(_environ(data_dir), progress=click.echo)
        click.echo(f"{len(applied)} applied" if applied else "nothing to do")

    return _run("migrate", main)


@booking.group()
def keys() -> None:
    """Make, list and revoke API keys.

    \b
    booking keys create ticket-office --scope bookings:write --scope read
    booking keys list
    booking keys revoke ticket-office
    """


@keys.command("create")
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, required=True, help="May be given several times.")
@click.option("--customer", type=click.UUID, help="The one customer of the scope bookings:own.")
@click.option("--rate", type=int, help="Requests per second and process; default 200.")
@click.option("--burst", type=int, help="Requests at once; default 400.")
@json_option
@data_dir_option
def create_key(
    *,
    name: str,
    scopes: tuple[str, ...],
    customer: UUID | None,
    rate: int | None,
    burst: int | None,
    as_json: bool,
    data_dir: str | None,
) -> int:
    """Make a key and show it, once.

    \b
    booking keys create ticket-office --scope bookings:write --scope read
    booking keys create app-of-ada --scope bookings:own --customer 0190c2a0-0000-7000-8000-000000000001
    """

    async def work(connection: "asyncpg.Connection") -> None:
        from booking.keys import create

        key = await create(
            connection, name=name, scopes=scopes, customer_id=customer, rate_per_s=rate, burst=burst
        )
        _show(
            key._asdict() if as_json else f"{key.secret}\n(shown only now; as {key.name})", as_json
        )

    return _with_keys(work, data_dir)


@keys.command("list")
@json_option
@data_dir_option
def list_keys(as_json: bool, data_dir: str | None) -> int:
    """List all keys, revoked ones too; the secrets are not known.

    \b
    booking keys list --json
    """

    async def work(connection: "asyncpg.Connection") -> None:
        from booking.keys import list_keys

        listed = await list_keys(connection)
        lines = (
            f"{key.name:24} {'revoked' if key.revoked_at else 'live':8} {', '.join(key.scopes)}"
            for key in listed
        )
        _show(listed if as_json else "\n".join(lines) or "There is no key yet.", as_json)

    return _with_keys(work, data_dir)


@keys.command("revoke")
@click.argument("name")
@data_dir_option
def revoke_key(name: str, data_dir: str | None) -> int:
    """Revoke a key by name or id; every process refuses it within seconds.

    \b
    booking keys revoke ticket-office
    """

    async def work(connection: "asyncpg.Connection") -> None:
        from booking.keys import revoke

        click.echo(f"{await revoke(connection, name)} is revoked.")

    return _with_keys(work, data_dir)


def _with_keys(
    work: Callable[["asyncpg.Connection"], Awaitable[None]], data_dir: str | None
) -> int:
    """Run `work` on a connection to the write database, in the role that may change keys."""

    async def main(_: asyncio.Event) -> None:
        from booking.edge.database import open_pool
        from booking.settings import load_settings

        settings = load_settings(_environ(data_dir), needs=("database_url",))
        async with (
            await open_pool(
                settings.database_url,
                role="booking_writer",
                name="booking keys",
                size_max=1,
                statement_timeout_ms=5000,
                variable="BOOKING_DATABASE_URL",
            ) as pool,
            pool.acquire() as connection,
        ):
            await work(cast("asyncpg.Connection", connection))

    return _run("keys", main)


def _show(what: object, as_json: bool) -> None:
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(what)).decode() if as_json else what)


def _environ(data_dir: str | None) -> dict[str, str]:
    """Return the environment without empty variables (compose writes `${X:-}`), and the option."""
    environ = {name: value for name, value in os.environ.items() if value.strip()}
    return environ | ({"BOOKING_DATA_DIR": data_dir} if data_dir else {})


def _parts(text: str) -> list[str]:
    chosen = [part.strip() for part in text.split(",") if part.strip()]
    unknown = [part for part in chosen if part not in PARTS]
    if unknown or not chosen:
        raise Misconfigured(f"--parts takes any of {','.join(PARTS)}, not {text!r}.")
    return chosen


def _run(process: str, main: Callable[[asyncio.Event], Awaitable[None]]) -> int:
    from booking.edge import logging
    from booking.edge.process import run

    logging.configure(process)
    return run(main)


def _import_all_in_one() -> Callable[..., Awaitable[None]]:
    from booking.all_in_one import run

    return run


if __name__ == "__main__":
    main()
