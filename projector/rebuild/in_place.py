"""A rebuild as it is usually made: empty the tables that are read, and fold the log into them again.

For the laboratory, chosen by PROJECTOR_GUARD=rebuild_in_place. Everything else is the product's, so
what readers see meanwhile (half of the units, positions that go back) is for want of the shadow.
"""

import time

import asyncpg

from booking.edge.progress import Progress, silent
from booking.events.envelope import decode
from projector.consumer.apply import apply
from projector.guards.checkpoint_compare_and_set import Connection, read_checkpoint
from projector.guards.dead_letters import SuspectSlots
from projector.log_reader import read_head, read_payloads
from projector.projections import TABLES
from projector.rebuild.rebuild import Rebuilt

BATCH = 1000

BEGIN_AGAIN = """
UPDATE read_model.checkpoint SET position = 0, event_id = NULL, generation = generation + 1
"""
EMPTY = tuple(f"DELETE FROM read_model.{table}" for table in TABLES)


async def rebuild_in_place(
    connection: Connection, log: asyncpg.Pool, *, progress: Progress = silent, batch: int = BATCH
) -> Rebuilt:
    """Empty the read model and fill it again before everyone's eyes."""
    started_s = time.monotonic()
    head, suspects = await read_head(log), SuspectSlots()
    async with connection.transaction():
        await connection.execute(BEGIN_AGAIN)
        for statement in EMPTY:
            await connection.execute(statement)
    at = await read_checkpoint(connection)
    while at.position < head.position:
        page = await read_payloads(log, epoch=head.epoch, after=at.position, limit=batch)
        events = [decode(payload) for _, payload in page]
        at = (await apply(connection, at, events, heard=None, suspects=suspects)).checkpoint
        progress("events", at.position, head.position)
    seconds = time.monotonic() - started_s
    return Rebuilt(
        epoch=head.epoch,
        generation=at.generation,
        position=at.position,
        left_out=0,
        added_up=False,
        seconds=round(seconds, 3),
        events_per_s=round(at.position / max(seconds, 0.001)),
    )
