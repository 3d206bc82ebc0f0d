"""Taking in an event after all, with today's code; afterwards what it concerned is right again.

Later events may have been folded since, so the event alone is not enough. What counts or lists (hours,
states, histories) lacks just this event and gets it. A slot takes its newest event, which says its
whole state. A booking and a resource, told in changes, are folded again from all of their events. It
happens in one transaction under the checkpoint, and begins a new generation.
"""

from collections.abc import Iterable, Sequence
from uuid import UUID

import asyncpg

from booking.events.envelope import Event, decode
from booking.events.facts import PolicyChanged, ResourceCreated, fact
from projector.consumer.apply import OWN_FAULTS, UNWRITABLE, Poison, fold
from projector.dead_letters.letters import DeadLetter, letter_at, settle
from projector.guards.checkpoint_compare_and_set import Connection, begin_generation
from projector.log_reader import read_payloads_at
from projector.projections.availability import Availability
from projector.projections.bookings import Bookings
from projector.projections.read_model import ReadModel
from projector.projections.resources import Resources
from projector.rebuild.shadow import lock_checkpoint

RANGE = 20_000
"""Positions of the log looked through in one short statement for the events of a resource."""


class StillPoison(Exception):
    """Today's code cannot take it in either; `str()` of it says why. Nothing was changed."""


# Slots: the newest event each. Bookings: all of them.
POSITIONS = """
SELECT created_position AS position FROM read_model.booking WHERE booking_id = $1
UNION
SELECT position FROM read_model.booking_event WHERE booking_id = $1
UNION
SELECT newest.position FROM unnest($2::uuid[]) AS slot (slot_id) CROSS JOIN LATERAL (
    SELECT h.positions[array_upper(h.positions, 1)] AS position
    FROM read_model.slot_history AS h WHERE h.slot_id = slot.slot_id
    ORDER BY h.part DESC LIMIT 1) AS newest
"""

RESOURCE_POSITIONS = """
SELECT position FROM published.events
WHERE position > $1 AND position <= $2 AND resource_id = $3
  AND type IN ('ResourceCreated', 'PolicyChanged')
"""

LETTERS_AMONG = """
SELECT position FROM read_model.dead_letter WHERE position = ANY ($1::bigint[])
"""

FORGET_LINES = "DELETE FROM read_model.booking_line WHERE booking_id = $1"
FORGET_BOOKING = "DELETE FROM read_model.booking WHERE booking_id = $1"
FORGET_RESOURCE = "DELETE FROM read_model.resource WHERE resource_id = $1"


async def retry(connection: Connection, log: asyncpg.Pool, position: int) -> DeadLetter:
    """Take in the event at a position, and make right what it concerned.

    Raises:
        NoSuchLetter: it is no dead letter.
        StillPoison: it cannot be taken in yet.
    """
    async with connection.transaction():
        standing = await lock_checkpoint(connection)
        letter = await letter_at(connection, position)
        assert standing.epoch is not None, "there are letters, so there was an epoch"  # noqa: S101  narrows the type
        try:
            (event,) = await _events(log, [position], standing.epoch)
            await _write(connection, fold([event]).changed.read_models)
            resource_id = _resource_of(event)
            if resource_id is not None:
                among = await _positions_of_resource(log, resource_id, standing.position)
                others = await connection.fetch(LETTERS_AMONG, among)
                among = [at for at in among if at not in {row["position"] for row in others}]
            else:
                rows = await connection.fetch(POSITIONS, letter.booking_id, letter.slot_ids)
                among = [row["position"] for row in rows]
            events = await _events(log, sorted({*among, position}), standing.epoch)
            await _fold_again(connection, events, letter.booking_id, resource_id)
        except Poison as poison:
            raise StillPoison(poison.reason) from poison
        except (*OWN_FAULTS, *UNWRITABLE) as error:
            raise StillPoison(f"{type(error).__name__}: {error}") from error
        await settle(connection, letter)
        await begin_generation(connection, standing)
    return letter


async def _fold_again(
    connection: Connection,
    events: Sequence[Event],
    booking_id: UUID | None,
    resource_id: UUID | None,
) -> None:
    """States only: what counts or lists has every other event already."""
    folded = fold(events)
    if len(folded.events) < len(events):
        raise Poison(events[len(folded.events)].position, ValueError("of the same entity"))
    if booking_id is not None:
        await connection.execute(FORGET_LINES, booking_id)
        await connection.execute(FORGET_BOOKING, booking_id)
        of_it = [e for e in events if e.booking_id == booking_id]
        await _write(connection, fold(of_it).changed.read_models, Bookings)
    if resource_id is not None:
        await connection.execute(FORGET_RESOURCE, resource_id)
        await _write(connection, folded.changed.read_models, Resources)
    await _write(connection, folded.changed.read_models, Availability)


async def _write(
    connection: Connection, read_models: Iterable[ReadModel], only: type[ReadModel] | None = None
) -> None:
    for read_model in read_models:
        if only is None or isinstance(read_model, only):
            for write in read_model.writes():
                await connection.execute(write.sql, *write.parameters)


def _resource_of(event: Event) -> UUID | None:
    """The resource that an event is about, when it is about nothing else."""
    said = fact(event)
    return said.resource_id if isinstance(said, ResourceCreated | PolicyChanged) else None


async def _events(log: asyncpg.Pool, positions: Sequence[int], epoch: UUID) -> list[Event]:
    return [decode(payload) for payload in await read_payloads_at(log, positions, epoch=epoch)]


async def _positions_of_resource(log: asyncpg.Pool, resource_id: UUID, last: int) -> list[int]:
    """Where its events stand; the log is looked through range by range, in short statements."""
    found: list[int] = []
    for after in range(0, last, RANGE):
        rows = await log.fetch(
            RESOURCE_POSITIONS, after, min(after + RANGE, last), resource_id, timeout=5.0
        )
        found += [row["position"] for row in rows]
    return found
