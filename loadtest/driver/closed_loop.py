"""As fast as it goes: n connections, each sends the next request when the last was answered.

For comparing throughput only. Latency from a closed loop flatters a system that stalls (nobody arrives while it stalls), so it is not used
in verdicts.
"""

import asyncio
import time
from array import array
from collections import Counter
from collections.abc import Callable

from loadtest.driver.connection import Answer, Connection, KeepingConnection, connect
from loadtest.driver.percentile import percentile

CONNECT_TIMEOUT_S = 5.0
DRAIN_TIMEOUT_S = 10.0

NextRequest = Callable[[int], bytes]
"""The bytes of the n-th request."""


class Totals:
    """What came back: answers by status, requests that got none, seconds from the first send, latency samples in milliseconds."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.unanswered = 0
        self.seconds = 0.0
        self.latencies_ms = array("f")

    @property
    def per_second(self) -> float:
        """Answers per second, whatever their status."""
        return self.statuses.total() / self.seconds if self.seconds else 0.0

    def percentile_ms(self, percent: float) -> float:
        """That percentile of the latency."""
        return percentile(self.latencies_ms, percent)


async def closed_loop(
    url: str,
    *,
    connections: int,
    seconds: float,
    next_request: NextRequest,
    on_answer: Callable[[int, Answer], None] | None = None,
) -> Totals:
    """Keeps `connections` busy for `seconds`; `next_request(n)` gives the bytes of the n-th request (see RequestWriter).

    Answers that arrive after the time is up are waited for (DRAIN_TIMEOUT_S at most) and counted; the time counted ends with the last of them.
    A connection that is lost counts one unanswered request and is not replaced.

    Raises:
        OSError: the address does not answer.
    """
    loop = asyncio.get_running_loop()
    kind = Connection if on_answer is None else KeepingConnection
    opened = [
        await connect(url, timeout_s=CONNECT_TIMEOUT_S, kind=kind) for _ in range(connections)
    ]
    totals = Totals()
    all_done = loop.create_future()
    sent = 0
    working = connections
    clock = time.perf_counter
    began_s = clock()
    ends_s = began_s + seconds

    def keep_going(connection: Connection) -> None:
        nonlocal sent, working
        sent_s = clock()
        if sent_s >= ends_s or not connection.keep_alive:
            working -= 1
            if working == 0 and not all_done.done():
                all_done.set_result(None)
            return
        number, sent = sent, sent + 1

        def answered(answer: Answer | None) -> None:
            if answer is None:
                totals.unanswered += 1
            else:
                totals.latencies_ms.append((clock() - sent_s) * 1000)
                totals.statuses[answer.status] += 1
                if on_answer is not None:
                    on_answer(number, answer)
            keep_going(connection)

        connection.send(next_request(number), answered)

    try:
        for connection in opened:
            keep_going(connection)
        # Not `asyncio.timeout`, which would cancel the future: what is cut off here is still counted, by its callback.
        await asyncio.wait([all_done], timeout=seconds + DRAIN_TIMEOUT_S)
    finally:
        totals.seconds = clock() - began_s
        for connection in opened:
            connection.abort()
    await all_done
    return totals
