"""`booking epoch new`: the last step of putting the write database back to an older copy."""
# ruff: noqa: D301  click's mark for "do not wrap" is a backspace

import asyncio
from uuid import UUID

import rich_click as click
from msgspec import Struct

from booking.edge.invocation import data_dir_option, environ_of, json_option, run_process

STATEMENT_TIMEOUT_MS = 2000


class NewEpoch(Struct, frozen=True, kw_only=True):
    """What `booking epoch new` did."""

    ended: UUID
    epoch: UUID
    """Now in force."""
    position: int
    """Where the log ended at that moment."""


@click.group()
def epoch() -> None:
    """The identity of the log's history.

    \b
    booking epoch new    after a restore: what was told since the copy was made counts no more
    """


@epoch.command()
@json_option
@data_dir_option
def new(*, as_json: bool, data_dir: str | None) -> int:
    """Begin a new epoch: the last step of a restore.

    Positions after the copy may be given out a second time, to other events. In a new epoch nobody
    mistakes one for the other: the relay makes the stream again, projectors fold the log anew (reads
    say `rebuilding` meanwhile), and tokens of the old epoch are answered 410.

    \b
    booking epoch new
    booking epoch new --json | jq .epoch
    BOOKING_DATABASE_URL=postgresql://login@db/booking booking epoch new
    """

    async def main(_: asyncio.Event) -> int:
        import asyncpg
        import msgspec

        from booking.edge.database import UNREACHABLE, open_pool
        from booking.edge.failures import Misconfigured
        from booking.relay.read_log import new_epoch, state_beside
        from booking.settings import load_settings

        settings = load_settings(environ_of(data_dir), needs=("database_url",))
        try:
            async with await open_pool(
                settings.database_url,
                role="booking_relay",
                name="booking epoch",
                size_max=1,
                statement_timeout_ms=STATEMENT_TIMEOUT_MS,
                variable="BOOKING_DATABASE_URL",
            ) as log:
                before = await state_beside(log, 0)
                now = await new_epoch(log, before.epoch, seen=before.epoch)
        except (
            asyncpg.UndefinedTableError,
            asyncpg.UndefinedFunctionError,
            asyncpg.InvalidSchemaNameError,
        ) as error:
            raise Misconfigured(
                "The database does not have what this version needs: run `booking migrate` first."
            ) from error
        except UNREACHABLE as error:
            raise Misconfigured(
                f"The database of BOOKING_DATABASE_URL did not answer ({type(error).__name__}): "
                "run the command again."
            ) from error
        done = NewEpoch(ended=before.epoch, epoch=now, position=before.head)
        if as_json:
            click.echo(msgspec.json.encode(done).decode())
        else:
            click.echo(f"Epoch {done.ended} ended at position {done.position:,}.")
            click.echo(f"Epoch {done.epoch} has begun: the read model is folded anew from the log.")
        return 0

    return run_process("epoch", main)
