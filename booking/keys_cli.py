"""`booking keys`: make, list and revoke API keys from the command line."""
# ruff: noqa: D301, PLC0415  click's mark for "do not wrap" is a backspace; imports as in cli.py

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, cast
from uuid import UUID

import rich_click as click

from booking.edge.invocation import data_dir_option, environ_of, json_option, run_process

if TYPE_CHECKING:
    import asyncpg

    from booking.keys import ListedKey

COLUMNS = ("name", "state", "scopes", "customer", "rate", "burst", "revoked", "id")


@click.group()
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
    """Make a key and print it, this once.

    \b
    booking keys create ticket-office --scope bookings:write --scope read
    booking keys create ada --scope bookings:own --customer 0190c2a0-0000-7000-8000-000000000001
    """

    async def work(connection: "asyncpg.Connection") -> None:
        from booking.keys import create

        key = await create(
            connection, name=name, scopes=scopes, customer_id=customer, rate_per_s=rate, burst=burst
        )
        if as_json:
            _show_json(key._asdict())
        else:  # the key alone on standard output: KEY=$(booking keys create …)
            click.echo(f"The key of {key.name}, shown only now:", err=True)
            click.echo(key.secret)

    return _with_keys(work, data_dir)


@keys.command("list")
@json_option
@data_dir_option
def list_keys(*, as_json: bool, data_dir: str | None) -> int:
    """List all keys, revoked ones too; the secrets are not known.

    Rate and burst are those given with the key; a dash is the default, 200 and 400.

    \b
    booking keys list --json
    """

    async def work(connection: "asyncpg.Connection") -> None:
        from booking.keys import list_keys

        listed = await list_keys(connection)
        if as_json:
            _show_json(listed)
        for line in () if as_json else _lines(listed):
            click.echo(line)

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


def _lines(listed: "Sequence[ListedKey]") -> Iterator[str]:
    """A heading and a line per key, in columns as wide as they need."""
    if not listed:
        yield "There are no keys: `booking keys create` makes one."
        return
    rows = [COLUMNS, *map(_cells, listed)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, widths, strict=True)
        yield "  ".join(cell.ljust(width) for cell, width in cells).rstrip()


def _cells(key: "ListedKey") -> tuple[str, ...]:
    """What is told of a key, by COLUMNS; a dash is what it does not have."""
    return (
        key.name,
        "revoked" if key.revoked_at else "live",
        ",".join(key.scopes),
        str(key.customer_id or "-"),
        str(key.rate_per_s or "-"),
        str(key.burst or "-"),
        f"{key.revoked_at:%Y-%m-%dT%H:%M:%SZ}" if key.revoked_at else "-",
        str(key.key_id),
    )


def _with_keys(
    work: Callable[["asyncpg.Connection"], Awaitable[None]], data_dir: str | None
) -> int:
    """Run `work` on a connection to the write database, in the role that may change keys."""

    async def main(_: asyncio.Event) -> None:
        from booking.edge.database import open_pool
        from booking.settings import load_settings

        settings = load_settings(environ_of(data_dir), needs=("database_url",))
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

    return run_process("keys", main)


def _show_json(what: object) -> None:
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(what)).decode())
