"""What the read side may ask of the write database: `published.*`, and nothing else.

The log is the only truth; the stream is a copy of it. Gaps are filled from here, strong reads take
the head from here, and the checkpoint proves itself against it.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Struct

from booking.edge.api_keys import ApiKey
from booking.events.envelope import LOG_COLUMNS, Event, LogRow, SlotChange, payload


class LogHead(Struct, frozen=True, kw_only=True):
    """Where the log ends, and a moment of the database's clock before which nothing is missing."""

    epoch: UUID
    position: int
    at: datetime


# One statement: transaction_timestamp() is a moment before the snapshot that position comes from.
# clock_timestamp() would be one after it and claim too much.
READ_HEAD = """
SELECT epoch, position, transaction_timestamp() AS at FROM published.head
"""


async def read_head(log: asyncpg.Pool, *, timeout_s: float = 2.0) -> LogHead:
    """The log's head, read by a statement that begins now.

    Raises:
        OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError: the log is unreachable.
    """
    row = await log.fetchrow(READ_HEAD, timeout=timeout_s)
    assert row is not None, "the first migration makes the one row of the log's head"  # noqa: S101  narrows the type
    return LogHead(epoch=row["epoch"], position=row["position"], at=row["at"])


# Head and event are of one snapshot, so a log that was put back is told from one that has grown.
READ_HEAD_BESIDE = """
SELECT head.epoch, head.position, transaction_timestamp() AS at, event.event_id
FROM published.head AS head LEFT JOIN published.events AS event ON event.position = $1
"""


async def read_head_beside(
    log: asyncpg.Pool, position: int, *, timeout_s: float = 2.0
) -> tuple[LogHead, UUID | None]:
    """The log's head, and which event the log holds at a position; None when it holds none there."""
    row = await log.fetchrow(READ_HEAD_BESIDE, position, timeout=timeout_s)
    assert row is not None, "the first migration makes the one row of the log's head"  # noqa: S101  narrows the type
    head = LogHead(epoch=row["epoch"], position=row["position"], at=row["at"])
    return head, row["event_id"]


READ_MARK = """
SELECT last_line_removed FROM published.head
"""


async def is_last_line_removed(log: asyncpg.Pool) -> bool:
    """Whether an experiment has taken away the write model's last line of defence."""
    removed: bool = await log.fetchval(READ_MARK, timeout=2.0)
    return removed


READ_EVENTS = f"""
SELECT {LOG_COLUMNS} FROM published.events WHERE position > $1 ORDER BY position LIMIT $2
"""


async def read_payloads(
    log: asyncpg.Pool, *, epoch: UUID, after: int, limit: int, timeout_s: float = 2.0
) -> list[tuple[int, bytes]]:
    """Events after a position, oldest first, as (position, the bytes the stream would carry)."""
    rows = await log.fetch(READ_EVENTS, after, limit, timeout=timeout_s)
    return [(row["position"], payload(LogRow(**row), epoch)) for row in rows]


async def read_rows(
    log: asyncpg.Pool, *, after: int, limit: int, timeout_s: float = 2.0
) -> list[asyncpg.Record]:
    """Events after a position, oldest first, as they stand in the log; `event_of` reads one."""
    return await log.fetch(READ_EVENTS, after, limit, timeout=timeout_s)


_decode_slots = msgspec.json.Decoder(list[SlotChange]).decode


def event_of(row: asyncpg.Record, epoch: UUID) -> Event:
    """The event of a row, the same as from the bytes of its payload, at half the price.

    Raises:
        msgspec.DecodeError: its slots are not what they should be.
    """
    position, event_id, kind, schema, at, actor, command_id, correlation_id, *rest = row
    _, booking_id, _, slots, data = rest
    return Event(
        event_id=event_id,
        epoch=epoch,
        position=position,
        type=kind,
        schema=schema,
        recorded_at=at,
        actor=actor,
        command_id=command_id,
        correlation_id=correlation_id,
        booking_id=booking_id,
        slots=_decode_slots(slots),
        data=msgspec.Raw(data),
    )


READ_EVENTS_AT = f"""
SELECT {LOG_COLUMNS} FROM published.events WHERE position = ANY($1::bigint[]) ORDER BY position
"""


async def read_payloads_at(
    log: asyncpg.Pool, positions: Sequence[int], *, epoch: UUID, timeout_s: float = 2.0
) -> list[bytes]:
    """The events at some positions, oldest first; fewer than asked for when the log ends before."""
    rows = await log.fetch(READ_EVENTS_AT, positions, timeout=timeout_s)
    return [payload(LogRow(**row), epoch) for row in rows]


class Letter(Struct, frozen=True, kw_only=True):
    """An event as the log's columns tell it, whatever its payload says."""

    position: int
    event_id: UUID
    type: str
    schema: int
    recorded_at: datetime
    booking_id: UUID | None
    slot_ids: list[UUID]
    payload: str


READ_LETTER = f"""
SELECT {LOG_COLUMNS}, slot_ids FROM published.events WHERE position = $1
"""


async def read_letter(log: asyncpg.Pool, position: int, *, epoch: UUID) -> Letter | None:
    """The event at a position, not decoded; None when the log does not reach that far."""
    row = await log.fetchrow(READ_LETTER, position, timeout=2.0)
    if row is None:
        return None
    columns = dict(row)
    slot_ids = columns.pop("slot_ids")
    event = LogRow(**columns)
    return Letter(
        position=event.position,
        event_id=event.event_id,
        type=event.type,
        schema=event.schema,
        recorded_at=event.recorded_at,
        booking_id=event.booking_id,
        slot_ids=slot_ids,
        payload=payload(event, epoch).decode(),
    )


READ_EVENT_ID = """
SELECT event_id FROM published.events WHERE position = $1
"""


async def read_event_id(log: asyncpg.Pool, position: int) -> UUID | None:
    """Which event the log holds at a position; None when it does not reach that far."""
    found: UUID | None = await log.fetchval(READ_EVENT_ID, position, timeout=2.0)
    return found


BEGIN_NEW_EPOCH = """
SELECT published.new_epoch($1, $2)
"""


async def begin_new_epoch(log: asyncpg.Pool, old: UUID, *, seen: UUID) -> UUID:
    """Say that the history of `old` was contradicted; answers the epoch now in force.

    `seen` is the latest epoch known here; a new one is later.
    """
    epoch: UUID = await log.fetchval(BEGIN_NEW_EPOCH, old, seen, timeout=2.0)
    return epoch


READ_SIGNING_KEY = """
SELECT secret FROM published.token_secret
"""


async def read_token_secret(log: asyncpg.Pool) -> bytes:
    """The secret under which tokens are signed, made by the first migration."""
    secret: bytes = await log.fetchval(READ_SIGNING_KEY, timeout=2.0)
    return secret


READ_API_KEYS = """
SELECT key_id, name, sha256, scopes, customer_id, rate_per_s, burst FROM published.api_keys
"""


async def read_api_keys(log: asyncpg.Pool) -> list[ApiKey]:
    """The live API keys: their sha256, never the keys."""
    return [ApiKey(**row) for row in await log.fetch(READ_API_KEYS, timeout=2.0)]
