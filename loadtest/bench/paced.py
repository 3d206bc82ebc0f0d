"""Bookings at a rate of their own, however fast the answers come: an open loop that costs as little as the closed one.

Arrivals are drawn beforehand and looked at once a millisecond, which is what the loop's timers can do anyway; each is sent on an idle
connection, or waits for one. How late they were sent is part of the result: a generator that cannot keep up measures itself.
"""

import asyncio
import contextlib
import random
import time
from array import array
from collections.abc import Callable, Iterator

from loadtest.bench.arm import NextRequest
from loadtest.driver import Answer, poisson
from loadtest.driver.connection import Connection, connect
from loadtest.driver.percentile import percentile

TICK_S = 0.001
CONNECT_TIMEOUT_S = 5.0
DRAIN_TIMEOUT_S = 10.0


class Paced:
    """What was offered and what came back."""

    def __init__(self) -> None:
        self.offered = 0
        self.answered = 0
        self.unanswered = 0
        self.seconds = 0.0
        self.late_ms = array("f")
        self.latencies_ms = array("f")

    def late_percentile_ms(self, percent: float) -> float:
        """How late the generator sent."""
        return percentile(self.late_ms, percent)


class PacedLoop:
    """One run of an open loop."""

    def __init__(
        self,
        next_request: NextRequest,
        on_answer: Callable[[Answer], None],
        arrivals_s: Iterator[float],
    ) -> None:
        self._next_request = next_request
        self._on_answer = on_answer
        self._arrivals_s = arrivals_s
        self._idle: list[Connection] = []
        self._under_way = 0
        self._nothing_under_way = asyncio.Event()
        self._nothing_under_way.set()
        self._result = Paced()

    async def run(self, url: str, *, connections: int, seconds: float) -> Paced:
        """Sends until `seconds` have passed, then waits for what is under way (DRAIN_TIMEOUT_S at most).

        Raises:
            OSError: the address does not answer.
        """
        opened = [await connect(url, timeout_s=CONNECT_TIMEOUT_S) for _ in range(connections)]
        self._idle = list(opened)
        began_s = time.perf_counter()
        try:
            await self._send_until(began_s, seconds)
            self._result.seconds = time.perf_counter() - began_s
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_TIMEOUT_S):
                    await self._nothing_under_way.wait()
        finally:
            for connection in opened:
                connection.abort()
        return self._result

    async def _send_until(self, began_s: float, seconds: float) -> None:
        due_s = next(self._arrivals_s)
        while due_s < seconds:
            now_s = time.perf_counter() - began_s
            while due_s <= now_s and due_s < seconds and self._idle:
                self._result.late_ms.append((now_s - due_s) * 1000)
                self._send(self._idle.pop(), began_s + due_s)
                due_s = next(self._arrivals_s)
            if now_s > seconds + DRAIN_TIMEOUT_S:
                return  # nobody answers any more
            await asyncio.sleep(TICK_S)

    def _send(self, connection: Connection, intended_s: float) -> None:
        result = self._result

        def answered(answer: Answer | None) -> None:
            self._under_way -= 1
            if not self._under_way:
                self._nothing_under_way.set()
            if answer is None:
                result.unanswered += 1
                return
            result.answered += 1
            result.latencies_ms.append((time.perf_counter() - intended_s) * 1000)
            self._on_answer(answer)
            if connection.keep_alive:
                self._idle.append(connection)

        self._under_way += 1
        self._nothing_under_way.clear()
        request = self._next_request(result.offered)
        result.offered += 1
        connection.send(request, answered)


def arrivals(per_second: float, *, seed: int) -> Iterator[float]:
    """Moments of independent people."""
    return poisson(per_second, random.Random(seed))
