"""D, the age of a decision: how long before it the view was true that it was based on. Pure.

Everything is in the database's time, so no clocks are compared: a view says `as_of`, an accepted booking has `recorded_at` in the log, a
refusal its own `as_of`. A view at a position was true from its `as_of` until the next booking of the slot (or until it was shown, if that was
earlier); the middle of that counts. With bookings recorded in batches the ends would be wrong by half a batch each, in opposite directions.
"""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime, timedelta
from statistics import fmean

from msgspec import Struct

from loadtest.history import LoggedEvent, Operation

# The stretch before the sell-out that is averaged, in multiples of D: who looked earlier has decided long before it. Shorter, and D is
# estimated from too few; longer, and it is that of other moments, for a shared machine is not steady.
STEADY_FACTOR = 1.5
STEADY_MIN_MS = 100.0


class Decision(Struct, frozen=True, kw_only=True):
    """A booking attempt: when its view was true, when it was shown, and when the attempt was decided."""

    true_at: datetime
    shown_at: datetime
    decided_at: datetime

    @property
    def age_ms(self) -> float:
        """D."""
        return milliseconds(self.decided_at - self.true_at)

    @property
    def think_and_queue_ms(self) -> float:
        """Z: from being shown the view to the decision."""
        return milliseconds(self.decided_at - self.shown_at)


def decisions(operations: Sequence[Operation], sold: Sequence[LoggedEvent]) -> list[Decision]:
    """Every attempt whose view and decision are known; `sold` are the slot's bookings in the order of the log."""
    positions = [event.position for event in sold]
    recorded_at = {event.command_id: event.recorded_at for event in sold}
    looks = {o.journey: o for o in operations if o.op == "look"}
    found = []
    for book in operations:
        if book.op != "book":
            continue
        look = looks[book.journey]
        decided_at = recorded_at.get(book.key or "", book.as_of)
        if decided_at is None or look.as_of is None:
            continue
        shown_at = look.as_of + timedelta(milliseconds=look.lag_ms or 0)
        following = bisect_right(positions, look.position or 0)
        overtaken_at = sold[following].recorded_at if following < len(sold) else shown_at
        true_for = max(timedelta(0), min(shown_at, overtaken_at) - look.as_of)
        true_at = look.as_of + true_for / 2
        found.append(Decision(true_at=true_at, shown_at=shown_at, decided_at=decided_at))
    return found


def around_the_sell_out(
    attempts: Sequence[Decision], *, opened_at: datetime, sold_out_at: datetime
) -> list[Decision]:
    """Those on views of the last stretch before the last unit went; all, if there is no such stretch."""
    if not attempts:
        return []
    typical_ms = fmean(attempt.age_ms for attempt in attempts)
    stretch = timedelta(milliseconds=max(STEADY_MIN_MS, STEADY_FACTOR * typical_ms))
    begins_at = max(opened_at, sold_out_at - stretch)
    steady = [attempt for attempt in attempts if begins_at <= attempt.true_at <= sold_out_at]
    return steady or list(attempts)


def milliseconds(span: timedelta) -> float:
    """A span of time as a number."""
    return span / timedelta(milliseconds=1)
