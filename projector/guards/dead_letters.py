"""No event is passed over in silence: what cannot be taken in is kept, and what it concerned is suspect.

Protects readers from a view that looks whole and is not, and the flow of events from the one that
nobody can fold. It does so by writing the event down, and the slots and bookings that the log names
beside its payload, in the transaction that moves the checkpoint past it. A slot is suspect until a
newer event says its whole state. Each change of what is suspect begins a new generation, so nobody
keeps a row in memory that is now doubted, or doubts one for longer than needed. It costs nothing
while nothing is suspect.

A fault that is everywhere is not an event's own: when too many of the last events were buried, no
more are, and the projector stops.
"""

from collections.abc import Iterable
from uuid import UUID

from projector.guards.checkpoint_compare_and_set import (
    Checkpoint,
    Connection,
    begin_generation,
    move_checkpoint,
)
from projector.log_reader import Letter

BURIED_MAX = 100
"""Of so many last events at most a tenth may be dead letters."""
LAST_EVENTS = 1000


class TooManyDeadLetters(Exception):
    """It is not the events: this projector is too old for them, or cannot write any."""


COUNT_RECENT_LETTERS = """
SELECT count(*) FROM read_model.dead_letter WHERE position > $1
"""

KEEP_LETTER = """
INSERT INTO read_model.dead_letter (position, event_id, type, schema, recorded_at, booking_id,
    slot_ids, payload, reason)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (position) DO UPDATE
SET event_id = excluded.event_id, type = excluded.type, schema = excluded.schema,
    recorded_at = excluded.recorded_at, booking_id = excluded.booking_id,
    slot_ids = excluded.slot_ids, payload = excluded.payload, reason = excluded.reason,
    buried_at = now()
"""

SUSPECT_SLOTS = """
INSERT INTO read_model.suspect_slot (slot_id, position)
SELECT DISTINCT slot_id, $2::bigint FROM unnest($1::uuid[]) AS slot_id
ON CONFLICT (slot_id) DO UPDATE SET position = excluded.position
"""

SUSPECT_BOOKING = """
INSERT INTO read_model.suspect_booking (booking_id, position) VALUES ($1, $2)
ON CONFLICT (booking_id) DO UPDATE SET position = excluded.position
"""


async def bury(
    connection: Connection, seen: Checkpoint, letter: Letter, *, reason: str
) -> Checkpoint:
    """Keep an event that cannot be taken in, and move past it.

    Raises:
        CheckpointMoved: another projector was here; nothing was written.
        TooManyDeadLetters: the fault is not the event's; nothing was written.
    """
    recent = await connection.fetchval(COUNT_RECENT_LETTERS, letter.position - LAST_EVENTS)
    if recent >= BURIED_MAX:
        raise TooManyDeadLetters(
            f"{recent} of the last {LAST_EVENTS} events could not be taken in, and now position "
            f"{letter.position} ({reason}): repair or update the projector and start it again"
        )
    async with connection.transaction():
        moved = await move_checkpoint(
            connection,
            seen,
            position=letter.position,
            event_id=letter.event_id,
            as_of=letter.recorded_at,
            state=seen.state,
        )
        await keep(connection, letter, reason=reason)
        if letter.slot_ids or letter.booking_id is not None:
            moved = await begin_generation(connection, moved)
    return moved


async def keep(
    connection: Connection, letter: Letter, *, reason: str, schema: str = "read_model"
) -> None:
    """Write the letter and what is suspect because of it, in the caller's transaction."""

    def here(sql: str) -> str:
        return sql.replace("read_model.", f"{schema}.")

    await connection.execute(
        here(KEEP_LETTER),
        letter.position,
        letter.event_id,
        letter.type,
        letter.schema,
        letter.recorded_at,
        letter.booking_id,
        letter.slot_ids,
        letter.payload,
        reason,
    )
    if letter.slot_ids:
        await connection.execute(here(SUSPECT_SLOTS), letter.slot_ids, letter.position)
    if letter.booking_id is not None:
        await connection.execute(here(SUSPECT_BOOKING), letter.booking_id, letter.position)


READ_SUSPECT_SLOTS = """
SELECT slot_id FROM read_model.suspect_slot
"""

CLEAR_SUSPECT_SLOTS = """
DELETE FROM read_model.suspect_slot WHERE slot_id = ANY($1::uuid[])
"""


class SuspectSlots:
    """The suspect slots of a generation, kept so that a batch without them costs no statement."""

    def __init__(self) -> None:
        self._generation: int | None = None
        self._slot_ids: set[UUID] = set()

    async def overtaken(
        self, connection: Connection, now: Checkpoint, written: Iterable[UUID]
    ) -> Checkpoint:
        """Clear those that were just written whole; belongs into the transaction that wrote them."""
        if self._generation != now.generation:
            rows = await connection.fetch(READ_SUSPECT_SLOTS)
            self._slot_ids = {row["slot_id"] for row in rows}
            self._generation = now.generation
        if not self._slot_ids:
            return now
        cleared = [slot_id for slot_id in written if slot_id in self._slot_ids]
        if not cleared:
            return now
        await connection.execute(CLEAR_SUSPECT_SLOTS, cleared)
        return await begin_generation(connection, now)  # and so the slots are read again
