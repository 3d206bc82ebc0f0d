"""`booking audit`: the command."""
# ruff: noqa: D301  click's mark for "do not wrap" is a backspace

import asyncio
import gc
from typing import cast

import rich_click as click

from booking.edge.invocation import data_dir_option, environ_of, json_option, run_process


@click.command()
@json_option
@data_dir_option
def audit(*, as_json: bool, data_dir: str | None) -> int:
    """Prove that counters, live bookings and event log agree.

    Bookings may go on meanwhile: the log and the tables are read in short steps, and nothing is
    written. Exit code 0: all agree. 1: they do not, and the witnesses say where, the smallest first.
    2: it could not be found out.

    \b
    booking audit
    booking audit --json | jq .witnesses
    BOOKING_DATABASE_URL=postgresql://auditor@db/booking booking audit
    """

    async def main(stop: asyncio.Event) -> int:
        import asyncpg
        import msgspec

        from booking.audit.audit import STATEMENT_TIMEOUT_MS, Stopped
        from booking.audit.audit import audit as run_audit
        from booking.audit.report import sentences
        from booking.edge.database import CONNECTION_LOST, open_pool
        from booking.edge.failures import Misconfigured
        from booking.edge.progress import progress
        from booking.settings import load_settings

        # The fold makes objects by the million and no circles of them; the search for circles took a tenth of
        # the time, and this process does nothing else.
        gc.disable()
        settings = load_settings(environ_of(data_dir), needs=("database_url",))
        try:
            async with (
                await open_pool(
                    settings.database_url,
                    role="booking_writer",
                    name="booking audit",
                    size_max=1,
                    statement_timeout_ms=STATEMENT_TIMEOUT_MS,
                    variable="BOOKING_DATABASE_URL",
                ) as pool,
                pool.acquire() as connection,
            ):
                with progress() as tell:
                    report = await run_audit(
                        cast("asyncpg.Connection", connection), progress=tell, stop=stop
                    )
        except Stopped:
            click.echo("Stopped before the end: nothing is concluded.", err=True)
            return 130
        except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError) as error:
            raise Misconfigured(
                "The database has no booking schema yet: run `booking migrate` first."
            ) from error
        except CONNECTION_LOST as error:
            raise Misconfigured(
                "The database of BOOKING_DATABASE_URL went away during the audit: run it again."
            ) from error
        if as_json:
            click.echo(msgspec.json.format(msgspec.json.encode(report)).decode())
        else:
            for sentence in sentences(report):
                click.echo(sentence)
        return 0 if report.verdict == "valid" else 1

    return run_process("audit", main)
