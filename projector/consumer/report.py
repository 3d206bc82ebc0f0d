"""Once a second a projector says how it goes, in a row of its own that `/v1/consistency` shows.

At the same time it looks up what the last verification found, for its metrics: a command that has
ended can be asked by nobody.
"""

import asyncio
from datetime import datetime

import asyncpg
import structlog

from booking.edge.database import UNREACHABLE
from projector.consumer.metrics import ConsumerMetrics
from projector.consumer.projector import Projector
from projector.consumer.silence import Source
from projector.guards.checkpoint_compare_and_set import Checkpoint
from projector.queries.report_projector import report_projector
from projector.verify.last_word import read_last_word

REPORT_S = 1.0

_log = structlog.get_logger(__name__)


async def report_forever(
    read_model: asyncpg.Pool,
    *,
    name: str,
    projector: Projector,
    stream: Source,
    metrics: ConsumerMetrics,
) -> None:
    """Write the row until cancelled; a database that is away is tried again."""
    while True:
        at: Checkpoint | None = projector.checkpoint
        position: int = at.position if at else 0
        as_of: datetime | None = at.as_of if at else None
        try:
            dead_letters = await report_projector(
                read_model,
                name=name,
                state=projector.state,
                reason=projector.stopped_because,
                position=position,
                as_of=as_of,
                stream_last_seq=await stream.last_sequence(),
            )
            metrics.dead_letters.set(dead_letters)
            found = await read_last_word(read_model)
            if found is not None:
                metrics.drift.set(found.drift)
                metrics.verified.set(found.verified_at.timestamp())
        except UNREACHABLE as error:
            _log.warning("projector_report_not_written", reason=str(error))
        await asyncio.sleep(REPORT_S)
