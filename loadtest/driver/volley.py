"""Open load of plain requests at rates where a task per request would be the experiment: one loop that sends what is due, callbacks for answers.

For herds and yardsticks. Nobody thinks, waits or decides here; people who do are `open_loop`'s. A request that finds no free connection waits
for one, and its latency goes on counting from the intended moment.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator

from loadtest.driver.connection import Answer, Connection, connect
from loadtest.driver.open_loop import Offered

CONNECT_TIMEOUT_S = 5.0
DRAIN_TIMEOUT_S = 10.0
TIMEOUT_CHECK_S = 0.1
TIMER_GRAIN_S = 0.001

OnAnswer = Callable[[int, int, int, int, Answer | None], None]
"""Number, intended, invoke and return moment (monotonic nanoseconds), and the answer; None: it never came."""


async def volley(
    url: str,
    arrivals_s: Iterator[float],
    *,
    seconds: float,
    next_request: Callable[[int], bytes],
    on_answer: OnAnswer,
    connections: int = 64,
    timeout_s: float = 5.0,
    waiting_max: int = 100_000,
) -> Offered:
    """Sends the n-th request at the n-th arrival until `seconds` have passed; then waits for the answers, for at most DRAIN_TIMEOUT_S.

    Every request offered was sent or is counted as dropped when it returns: who waited for a connection to the end was never sent, and whose
    answer did not come by then is called back with None.

    Args:
        url: whom to load.
        arrivals_s: when, as `loadtest.driver.arrivals` make it.
        seconds: how long.
        next_request: the bytes of the n-th request (see RequestWriter).
        on_answer: called exactly once per request sent, before this returns, in the order of the answers.
        connections: opened beforehand, and again when they are lost.
        timeout_s: from being written to the answer; then the connection is ended.
        waiting_max: so many may wait for a free connection; more are dropped and counted.

    Raises:
        OSError: the address does not answer.
    """
    sender = _Sender(url, next_request, on_answer, timeout_s)
    offered = Offered()
    await sender.open(connections)
    start_ns, start_cpu_s = time.monotonic_ns(), time.process_time()
    clock = time.monotonic_ns
    late_ms = offered.lateness_ms.append
    try:
        intended_ns = start_ns
        for number, moment_s in enumerate(arrivals_s):
            intended_ns = start_ns + int(moment_s * 1e9)
            if (wait_s := (intended_ns - clock()) / 1e9) > 0:
                # What falls due within one grain of the timer goes out together: waiting more precisely would cost more than the requests.
                await asyncio.sleep(max(wait_s, TIMER_GRAIN_S))
            if moment_s >= seconds:
                break
            offered.count += 1
            late_ms(max(0.0, (clock() - intended_ns) / 1e6))
            if len(sender.waiting) >= waiting_max:
                offered.dropped += 1
                continue
            sender.send(number, intended_ns)
            if number & 63 == 63:
                await asyncio.sleep(0)  # behind time, too, answers have to be read
        offered.seconds = (clock() - start_ns) / 1e9
        await sender.drain()
        offered.cpu_s = time.process_time() - start_cpu_s
    finally:
        offered.dropped += await sender.close()
    return offered


class _Sender:
    """The connections, who waits for one, and what is under way."""

    def __init__(
        self,
        url: str,
        next_request: Callable[[int], bytes],
        on_answer: OnAnswer,
        timeout_s: float,
    ) -> None:
        self.waiting: deque[tuple[int, int]] = deque()
        self._url = url
        self._next_request = next_request
        self._on_answer = on_answer
        self._timeout_s = timeout_s
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self._reopening: set[asyncio.Task[None]] = set()
        self._under_way = 0
        self._closing = False
        self._idle_again = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._watch = self._loop.call_later(TIMEOUT_CHECK_S, self._check_time_limits)

    async def open(self, connections: int) -> None:
        for _ in range(connections):
            await self._open()

    def send(self, number: int, intended_ns: int) -> None:
        if self._idle:
            self._go(self._idle.pop(), number, intended_ns)
        else:
            self.waiting.append((number, intended_ns))

    async def drain(self) -> None:
        ends_s = self._loop.time() + DRAIN_TIMEOUT_S
        while (self._under_way or self.waiting) and self._loop.time() < ends_s:
            self._idle_again.clear()
            try:
                async with asyncio.timeout_at(ends_s):
                    await self._idle_again.wait()
            except TimeoutError:
                return

    async def close(self) -> int:
        """Ends every connection, and calls back whoever still waited for an answer; the number of those who waited for a connection."""
        self._closing = True
        self._watch.cancel()
        never_sent = len(self.waiting)
        self.waiting.clear()
        for task in self._reopening:
            task.cancel()
        for connection in list(self._all):
            connection.abort()
        # An aborted connection says so in the next round of the loop; before, its request would be neither answered nor lost.
        await asyncio.sleep(0)
        return never_sent

    def _go(self, connection: Connection, number: int, intended_ns: int) -> None:
        self._under_way += 1
        invoke_ns = time.monotonic_ns()
        connection.deadline_s = self._loop.time() + self._timeout_s

        def answered(answer: Answer | None) -> None:
            self._under_way -= 1
            self._on_answer(number, intended_ns, invoke_ns, time.monotonic_ns(), answer)
            if answer is not None and connection.keep_alive:
                if self.waiting:
                    self._go(connection, *self.waiting.popleft())
                else:
                    self._idle.append(connection)
            if not self._under_way:
                self._idle_again.set()

        connection.send(self._next_request(number), answered)

    async def _open(self) -> None:
        connection = await connect(self._url, timeout_s=CONNECT_TIMEOUT_S, on_lost=self._lost)
        self._all.add(connection)
        if self.waiting:
            self._go(connection, *self.waiting.popleft())
        else:
            self._idle.append(connection)

    def _lost(self, connection: Connection) -> None:
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if not self._closing:
            task = asyncio.ensure_future(self._reopen())
            self._reopening.add(task)
            task.add_done_callback(self._reopening.discard)

    async def _reopen(self) -> None:
        # Whoever waits goes on waiting: a system that refuses connections is measured by what it does not answer.
        try:
            await self._open()
        except OSError:
            await asyncio.sleep(TIMEOUT_CHECK_S)
            if not self._closing:
                await self._reopen()

    def _check_time_limits(self) -> None:
        now_s = self._loop.time()
        for connection in list(self._all):
            if connection.busy and now_s > connection.deadline_s:
                connection.abort()
        self._watch = self._loop.call_later(TIMEOUT_CHECK_S, self._check_time_limits)
