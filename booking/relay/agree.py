"""Makes the stream a true copy again, by looking twice and doing the one thing the finding calls for.

Nothing is remembered between two looks and nothing is guessed. Two relays may do this at once: the
worst that happens is that the stream is made twice, with the same numbers.
"""

from uuid import UUID

import asyncpg
from msgspec import Struct
from nats.js import JetStreamContext

from booking.relay.compare import Finding, StreamState, compare
from booking.relay.read_log import LogState, new_epoch, state_beside
from booking.relay.stream import create, inspect, recreate

HEALINGS_MAX = 4
"""Another history takes two (new epoch, new stream); one more each way for a second relay."""
LOOKS_MAX = 2 * HEALINGS_MAX + 1
"""As often as another relay may be quicker, and one look after the last healing."""


class Agreement(Struct, frozen=True, kw_only=True):
    """Log and stream as they are once they agree."""

    stream: StreamState
    log: LogState
    healed: tuple[Finding, ...]
    """What was wrong before, in the order it was mended."""


class NoAgreement(Exception):
    """The stream does not stay healed: somebody else keeps changing it."""


async def agree(log: asyncpg.Pool, jetstream: JetStreamContext) -> Agreement:
    """Compare stream and log, heal what is wrong, and return them agreeing.

    Raises:
        NoAgreement: after `HEALINGS_MAX` healings, or `LOOKS_MAX` looks, they still differ.
    """
    healed: list[Finding] = []
    for _ in range(LOOKS_MAX):
        finding, stream, beside = await _look(log, jetstream)
        if finding is Finding.AGREES and stream is not None:
            return Agreement(stream=stream, log=beside, healed=tuple(healed))
        if len(healed) == HEALINGS_MAX:
            break
        # What is about to be deleted is looked at again: another relay may have healed it since.
        again, _, beside = await _look(log, jetstream)
        if again is finding:
            seen = stream.epoch if stream and stream.epoch else beside.epoch
            await _heal(finding, beside, log, jetstream, seen=seen)
            healed.append(finding)
    raise NoAgreement(f"The stream {finding.value}, and was healed {len(healed)} times in vain.")


async def _look(
    log: asyncpg.Pool, jetstream: JetStreamContext
) -> tuple[Finding, StreamState | None, LogState]:
    """First the stream, then the log: in this order a lead of the stream is a contradiction."""
    stream = await inspect(jetstream)
    beside = await state_beside(log, stream.last_position if stream else 0)
    return compare(stream, beside), stream, beside


async def _heal(
    finding: Finding,
    beside: LogState,
    log: asyncpg.Pool,
    jetstream: JetStreamContext,
    *,
    seen: UUID,
) -> None:
    match finding:
        case Finding.MISSING:
            await create(jetstream, beside.epoch, head=beside.head)
        case Finding.ANOTHER_HISTORY | Finding.OF_A_LATER_EPOCH:
            # Readers may have seen events that the log has lost. Under the new epoch the stream
            # is one "of another epoch", which the next look finds and mends.
            await new_epoch(log, beside.epoch, seen=seen)
        case _:
            await recreate(jetstream, beside.epoch, head=beside.head)
