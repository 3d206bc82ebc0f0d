"""Appends events to the stream, each at the sequence that is its position, or not at all.

Every append says which sequence must be the last one before it, and which event, where it was sent
behind that one. So a second relay, one that slept, or a message that arrives late is refused by the
server; nothing is ever stored twice or in a gap.
"""

from collections.abc import Sequence
from uuid import UUID

from nats.aio.client import Client
from nats.js.api import Header, PubAck
from nats.js.errors import APIError

from booking.events.envelope import LogRow, payload
from booking.events.subjects import STREAM, event_subject

CHAIN_MAX = 500
"""Events sent for one acknowledgement: 5 to 10 ms, far below `ACK_DEADLINE_S` on a slow disk, too."""
ACK_DEADLINE_S = 2.0
"""Far beyond a slow disk; then the stream is asked what became of it."""

MSG_ID = Header.MSG_ID.value
LAST_SEQUENCE = Header.EXPECTED_LAST_SEQUENCE.value
LAST_MSG_ID = Header.EXPECTED_LAST_MSG_ID.value

WRONG_LAST_SEQUENCE = 10071
WRONG_LAST_EVENT = 10070


class Outrun(Exception):
    """Somebody else has appended at our place: another relay, or a foreign writer."""


class NotAppended(Exception):
    """The server's acknowledgement does not say what an append at these positions would say."""


async def publish(nats: Client, epoch: UUID, events: Sequence[LogRow]) -> int:
    """Append `events` (1 to `CHAIN_MAX`, dense positions) and return the stream's last position.

    All are sent at once, as a chain: each is stored only right behind the one before it, so the
    acknowledgement of the last one speaks for all. Any error means "unknown": all of them, none, or
    all up to some event may be stored. Ask the stream.

    Raises:
        Outrun: the place is taken.
        NotAppended: the acknowledgement was for something else, such as a known duplicate.
        nats.errors.Error: refused otherwise (no such stream), timed out, connection lost.
    """
    *chain, last = events
    if chain:
        # Handed over in one piece: the client's `publish` takes as long for a message as all else here.
        await nats._send_command(_in_wire_form(epoch, chain))  # noqa: SLF001 sent with the last one
    ack = await _acknowledged(nats, epoch, last, _headers(last, chain[-1] if chain else None))
    # A duplicate is no append: the server only remembers the id of a message it may have lost.
    if ack.stream != STREAM or ack.seq != last.position or ack.duplicate:
        raise NotAppended(f"Expected {STREAM} to end at {last.position}, but it answered {ack}.")
    return last.position


def _in_wire_form(epoch: UUID, chain: Sequence[LogRow]) -> bytes:
    """The messages of the chain as the NATS protocol writes them, one behind the other.

    Nothing in them may be taken for a command of the protocol: what could hold a line break is JSON,
    which writes it otherwise, or a header (`_headers`).
    """
    messages = []
    behind: LogRow | None = None
    for event in chain:
        lines = [f"{name}: {value}\r\n" for name, value in _headers(event, behind).items()]
        head = f"NATS/1.0\r\n{''.join(lines)}\r\n".encode()
        body = payload(event, epoch)
        sizes = f"{len(head)} {len(head) + len(body)}"
        messages.append(f"HPUB {_subject(epoch, event)}  {sizes}\r\n".encode())
        messages += (head, body, b"\r\n")
        behind = event
    return b"".join(messages)


def _headers(event: LogRow, behind: LogRow | None) -> dict[str, str]:
    """Who it is, and what must stand before it.

    The sequence alone would not do: where a foreign message has taken the place of one event of the
    chain, the next would be stored behind that message. The first of a chain names no event, because
    a server that was started anew does not know its last one; its sequence was just compared.
    """
    headers = {MSG_ID: str(event.event_id), LAST_SEQUENCE: str(event.position - 1)}
    if behind is not None:
        headers[LAST_MSG_ID] = str(behind.event_id)
    if event.traceparent is not None:
        headers["traceparent"] = event.traceparent.replace("\r", " ").replace("\n", " ")
    return headers


async def _acknowledged(
    nats: Client, epoch: UUID, event: LogRow, headers: dict[str, str]
) -> PubAck:
    try:
        return await nats.jetstream().publish(
            _subject(epoch, event), payload(event, epoch), timeout=ACK_DEADLINE_S, headers=headers
        )
    except APIError as refusal:
        if refusal.err_code in (WRONG_LAST_SEQUENCE, WRONG_LAST_EVENT):
            raise Outrun(str(refusal)) from refusal
        raise


def _subject(epoch: UUID, event: LogRow) -> str:
    return event_subject(epoch, event.resource_id, event.type)
