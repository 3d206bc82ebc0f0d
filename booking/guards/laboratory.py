"""What the laboratory's guards need of the database, beyond the schema of the product.

Numbered files, each for the guards that name it, applied by `booking migrate` and `booking up` when
such a guard is chosen. They are not migrations: they start from what is booked already and may be
applied any number of times, because other guards may have sold in between.
"""

from pathlib import Path

import asyncpg

from booking.edge.failures import Misconfigured

FOLDER = Path(__file__).parent.parent / "schema/laboratory"
LAST_LINE_REMOVED = "0001_remove_the_last_line.sql"
CLAIMS = "0002_claims.sql"
UNITS = "0003_units.sql"
VIEW = "0004_the_view_for_the_writer.sql"
WRITE_TABLES = "0005_the_write_tables_for_readers.sql"
"""Chosen by PROJECTOR_GUARD, not by a guard of this side."""
POSITIONS = "0006_positions_from_a_sequence.sql"


async def apply(connection: asyncpg.Connection, file: str) -> None:
    """Apply one file; needs the owner's rights.

    Raises:
        Misconfigured: the read model, which a file wants to show to the writer, is not there.
    """
    text = (FOLDER / file).read_text(encoding="utf-8")
    try:
        async with connection.transaction():
            await connection.execute(text)
            await connection.execute("RESET ROLE")
    except (asyncpg.InvalidSchemaNameError, asyncpg.UndefinedTableError) as error:
        raise Misconfigured(
            f"The guard's own tables cannot be made ({error}): run `booking migrate` with the same "
            "BOOKING_GUARD, on a database that holds the read model too."
        ) from error


async def remove_the_last_line(connection: asyncpg.Connection) -> None:
    """Drop the constraint `slot_never_oversold` and mark the database; needs the owner's rights.

    For the laboratory's throw-away databases only.
    """
    await apply(connection, LAST_LINE_REMOVED)
