"""The stream itself: how it is made, and what is looked at to judge it.

It is a copy that can be made again at any time, with the same numbers: `first_seq` lets a new
stream begin in the middle of the log. Older events come from the log.
"""

from contextlib import suppress
from uuid import UUID

import msgspec
from nats.js import JetStreamContext
from nats.js.api import (
    DiscardPolicy,
    Header,
    RawStreamMsg,
    RetentionPolicy,
    StorageType,
    StreamConfig,
    StreamInfo,
)
from nats.js.errors import NotFoundError, ServerError

from booking.events.envelope import decode
from booking.events.subjects import STREAM, stream_subjects
from booking.relay.compare import StreamState

HISTORY_MAX = 100_000
"""How many events a re-created stream is filled with; whoever needs older ones reads the log."""
AGE_MAX_S = 7 * 24 * 3600
BYTES_MAX = 8 * 2**30
DUPLICATE_WINDOW_S = 0.1
"""The least the server takes. Duplicates are refused by the expected sequence; a longer memory of
event ids would only refuse to store again what a server has lost."""

INSUFFICIENT_STORAGE = 10047
NO_BYTE_LIMIT = -1


def settings_of(epoch: UUID, *, first_position: int) -> StreamConfig:
    """The stream of an epoch, beginning at `first_position`."""
    return StreamConfig(
        name=STREAM,
        description="A copy of the event log: sequence = position. Made and healed by the relay.",
        subjects=[stream_subjects(epoch)],
        storage=StorageType.FILE,
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.OLD,
        max_age=AGE_MAX_S,
        max_bytes=BYTES_MAX,
        duplicate_window=DUPLICATE_WINDOW_S,
        deny_delete=True,
        deny_purge=True,
        allow_direct=True,
        first_seq=first_position,
        metadata={"epoch": str(epoch)},
    )


async def inspect(jetstream: JetStreamContext) -> StreamState | None:
    """Read what `compare` judges; None when there is no such stream."""
    try:
        info = await jetstream.stream_info(STREAM)
    except NotFoundError:
        return None
    epoch = _epoch(info)
    tail = None
    if info.state.messages > 0 and epoch is not None:
        tail = await _tail(jetstream, epoch, info.state.last_seq)
    return StreamState(
        epoch=epoch,
        messages=info.state.messages,
        first_position=info.state.first_seq,
        last_position=info.state.last_seq,
        tail_event_id=tail,
    )


async def create(jetstream: JetStreamContext, epoch: UUID, *, head: int) -> None:
    """Make the stream so that the newest `HISTORY_MAX` events of a log ending at `head` fit in.

    A server that has less than `BYTES_MAX` to give gets a stream limited by age and its own disk.
    """
    settings = settings_of(epoch, first_position=max(1, head - HISTORY_MAX + 1))
    try:
        await jetstream.add_stream(settings)
    except ServerError as error:
        if error.err_code != INSUFFICIENT_STORAGE:
            raise
        await jetstream.add_stream(settings, max_bytes=NO_BYTE_LIMIT)


async def recreate(jetstream: JetStreamContext, epoch: UUID, *, head: int) -> None:
    """Delete the stream, whatever is in it, and make it anew. Consumers on it go with it."""
    with suppress(NotFoundError):  # another relay may have been as quick
        await jetstream.delete_stream(STREAM)
    await create(jetstream, epoch, head=head)


ESSENTIAL = (
    *("subjects", "storage", "retention", "discard", "sealed", "no_ack", "subject_transform"),
    *("allow_direct", "deny_delete", "deny_purge", "max_msgs_per_subject"),
)
"""Without these as made the promise cannot be kept. Limits and replicas are the operator's."""


def _epoch(info: StreamInfo) -> UUID | None:
    """The epoch it was made for, if everything essential is as a relay would have made it."""
    try:
        epoch = UUID((info.config.metadata or {})["epoch"])
    except (KeyError, ValueError):
        return None
    if epoch.version != 7:
        return None  # no log ever began it, and it has no time to be later than
    made, ours = info.config, settings_of(epoch, first_position=1)
    as_made = all(getattr(made, name) == getattr(ours, name) for name in ESSENTIAL)
    return epoch if as_made else None


async def _tail(jetstream: JetStreamContext, epoch: UUID, position: int) -> UUID | None:
    """The id of the event in the last message, if the message is what we would have published.

    Asked of the stream's leader: a direct get may be answered by a replica that is behind.
    """
    try:
        message = await jetstream.get_msg(STREAM, position)
    except NotFoundError:
        return None
    return _event_id(message, epoch, position)


def _event_id(message: RawStreamMsg, epoch: UUID, position: int) -> UUID | None:
    try:
        event = decode(message.data or b"")
    except msgspec.DecodeError:
        return None
    in_place = event.epoch == epoch and event.position == position
    named = (message.headers or {}).get(Header.MSG_ID.value) == str(event.event_id)
    return event.event_id if in_place and named else None
