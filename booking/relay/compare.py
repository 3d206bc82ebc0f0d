"""Log and stream side by side: one table of arithmetic that finds every way a copy can go wrong.

Postgres is the only truth. The stream keeps one promise, *stream sequence = log position*, and
because each append names the sequence before it, an equal tail means an equal prefix. So the last
message, the two ends and the count say all.
"""

from enum import Enum
from uuid import UUID

from msgspec import Struct

from booking.relay.read_log import LogState


class StreamState(Struct, frozen=True, kw_only=True):
    """The stream at one moment."""

    epoch: UUID | None
    """The epoch it was made for; None when it was not made by a relay, or not for these subjects."""
    messages: int
    first_position: int
    last_position: int
    tail_event_id: UUID | None
    """The event in the last message; None when there is none or it is not an event at its place."""


class Finding(Enum):
    """What the comparison says; each value completes the sentence "the stream …"."""

    AGREES = "agrees with the log"  # it may be behind: that is what relaying is for
    MISSING = "is missing"
    OF_ANOTHER_EPOCH = "was made for another epoch or with other settings"
    OF_A_LATER_EPOCH = "was made for an epoch that the log has forgotten"
    HOLES = "has holes"
    FOREIGN_TAIL = "ends with a message that is not an event at its place"
    BEYOND_THE_LOG = "is empty but numbered beyond the log"
    ANOTHER_HISTORY = "ends with an event of this epoch that the log does not have there"


def compare(stream: StreamState | None, log: LogState) -> Finding:  # noqa: PLR0911 one line per case
    """Judge a stream read *before* the log: the log only grows, so it can only seem further on."""
    if stream is None:
        return Finding.MISSING
    if stream.epoch is not None and stream.epoch > log.epoch:
        # Epochs order by time and the log's never goes back by itself: it was put back to a copy from
        # before that epoch began, and what readers were told since may name the same positions.
        return Finding.OF_A_LATER_EPOCH
    if stream.epoch != log.epoch:
        return Finding.OF_ANOTHER_EPOCH
    if stream.messages == 0:  # no tail to compare: events expired, or none has come yet
        return Finding.BEYOND_THE_LOG if stream.last_position > log.head else Finding.AGREES
    if stream.messages != stream.last_position - stream.first_position + 1:
        return Finding.HOLES
    if stream.tail_event_id is None:
        return Finding.FOREIGN_TAIL
    if stream.tail_event_id != log.event_id_at_tail:
        return Finding.ANOTHER_HISTORY
    return Finding.AGREES
