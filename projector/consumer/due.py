"""When something may be known: at once, or, in the laboratory, a set time after it happened.

PROJECTOR_INJECTED_LAG_MS makes the read model late by that much: no event and no heartbeat becomes
readable earlier than this long after its own database time. What is held back is compared with a
lower bound of the database's clock, so the lag is never less than asked.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from booking.edge.database import NoDatabaseTime

NO_TIME_S = 0.1
"""When the database's time is not known, nothing is due; look again after this."""


class Due:
    """Holds moments of the log against the database's clock."""

    def __init__(self, lag: timedelta, now_at_least: Callable[[], datetime]) -> None:
        self._lag = lag
        self._now_at_least = now_at_least

    @property
    def holds_back(self) -> bool:
        """Whether anything is ever kept back."""
        return bool(self._lag)

    def wait_s(self, at: datetime) -> float:
        """How long what happened at `at` must still be kept back; 0 when it may be known."""
        if not self._lag:
            return 0.0
        try:
            return max(0.0, (at + self._lag - self._now_at_least()).total_seconds())
        except NoDatabaseTime:
            return NO_TIME_S

    async def keep_back(self, at: datetime) -> None:
        """Wait until what happened at `at` may be known."""
        while wait_s := self.wait_s(at):  # noqa: ASYNC110  no event says that time has passed
            await asyncio.sleep(wait_s)
