"""The dead letters: events that could not be taken in, and until when they make things suspect."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from projector.guards.checkpoint_compare_and_set import Connection


class DeadLetter(Struct, frozen=True, kw_only=True):
    """An event that could not be taken in."""

    position: int
    event_id: UUID
    type: str
    schema: int
    recorded_at: datetime
    booking_id: UUID | None
    slot_ids: list[UUID]
    reason: str
    buried_at: datetime


class NoSuchLetter(Exception):
    """There is no dead letter at this position; `str()` of it is a sentence."""


LIST_LETTERS = """
SELECT position, event_id, type, schema, recorded_at, booking_id, slot_ids, reason, buried_at
FROM read_model.dead_letter ORDER BY position
"""


async def list_letters(connection: Connection) -> list[DeadLetter]:
    """All of them, in the order of the log."""
    return [DeadLetter(**row) for row in await connection.fetch(LIST_LETTERS)]


READ_LETTER_AT = """
SELECT position, event_id, type, schema, recorded_at, booking_id, slot_ids, reason, buried_at
FROM read_model.dead_letter WHERE position = $1
"""


async def letter_at(connection: Connection, position: int) -> DeadLetter:
    """The one at a position.

    Raises:
        NoSuchLetter: there is none.
    """
    row = await connection.fetchrow(READ_LETTER_AT, position)
    if row is None:
        raise NoSuchLetter(f"There is no dead letter at position {position}.")
    return DeadLetter(**row)


REMOVE_LETTER = """
DELETE FROM read_model.dead_letter WHERE position = $1
"""

# A booking is suspect while any letter names it. A slot is so while one names it that is newer than
# the last event that told its whole state; one whose opening is a letter, while there is that letter.
CLEAR_BOOKING = """
DELETE FROM read_model.suspect_booking AS suspect
WHERE booking_id = $1
  AND NOT EXISTS (SELECT FROM read_model.dead_letter AS d WHERE d.booking_id = suspect.booking_id)
"""

CLEAR_SLOTS = """
DELETE FROM read_model.suspect_slot AS suspect
WHERE slot_id = ANY ($1::uuid[])
  AND NOT EXISTS (
      SELECT FROM read_model.dead_letter AS d
      WHERE suspect.slot_id = ANY (d.slot_ids) AND (d.type = 'SlotOpened' OR d.position > coalesce(
          (SELECT h.positions[array_upper(h.positions, 1)] FROM read_model.slot_history AS h
           WHERE h.slot_id = suspect.slot_id ORDER BY h.part DESC LIMIT 1), 0)))
"""


async def settle(connection: Connection, letter: DeadLetter) -> None:
    """Remove a letter, and the doubt that no other one keeps up; in the caller's transaction."""
    await connection.execute(REMOVE_LETTER, letter.position)
    await connection.execute(CLEAR_BOOKING, letter.booking_id)
    await connection.execute(CLEAR_SLOTS, letter.slot_ids)
