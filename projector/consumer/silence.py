"""The stream that is not there: with PROJECTOR_SYNC=polling the log is asked instead."""

import asyncio
from collections import deque
from typing import Protocol

from nats.aio.client import Client

from booking.events.messages import Heartbeat
from projector.consumer.order import Arrival


class Source(Protocol):
    """What an intake listens to."""

    arrived: deque[Arrival]
    heartbeats: deque[Heartbeat]
    something: asyncio.Event
    """Set whenever there is more."""
    wanted: asyncio.Event
    """While it is set, events are wanted."""
    client: Client | None

    async def run(self) -> None:
        """Listen until cancelled."""

    async def last_sequence(self) -> int | None:
        """The stream's last sequence; None when it cannot be told."""


class Silence:
    """Brings nothing, and has nobody to announce to."""

    def __init__(self) -> None:
        self.arrived: deque[Arrival] = deque()
        self.heartbeats: deque[Heartbeat] = deque()
        self.something = asyncio.Event()
        self.wanted = asyncio.Event()
        self.client: Client | None = None

    async def run(self) -> None:
        """Be silent until cancelled."""
        await asyncio.get_running_loop().create_future()

    async def last_sequence(self) -> int | None:
        """Unknown: nobody is asked."""
        return None
