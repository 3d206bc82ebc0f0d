"""Many requests at once over a bounded pool of keep-alive connections, each with a time limit and a three-valued outcome.

What is promised: every request ends within `timeout_s`, and its outcome never claims more than is known. What is left to others:
when to send (`open_loop`), what to say (scenarios), retries (none are made here: a retry is part of an experiment).
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from typing import Literal, Self

from loadtest.driver.connection import Answer, Connection, RequestWriter, connect

Outcome = Literal["ok", "failed", "indeterminate"]

# Servers close idle connections after five seconds; a request sent at that very moment would be lost in an unknowable way.
IDLE_MAX_S = 3.0
# Time limits are looked at this often for all connections together: a timer per request would cost more than the request.
TIMEOUT_CHECK_S = 0.05
WAITERS_MAX = 20_000


class Exchange:
    """One request and what became of it. `status` is 0 and `body` empty when there was no answer.

    `invoke_ns` is taken before the first byte was written, `return_ns` when the answer was complete (or given up), both monotonic.
    """

    __slots__ = ("answer", "invoke_ns", "outcome", "return_ns")

    def __init__(
        self, outcome: Outcome, answer: Answer | None, invoke_ns: int, return_ns: int
    ) -> None:
        self.outcome = outcome
        self.answer = answer
        self.invoke_ns = invoke_ns
        self.return_ns = return_ns

    @property
    def status(self) -> int:
        """The HTTP status, 0 when unanswered."""
        return self.answer.status if self.answer is not None else 0

    @property
    def body(self) -> bytes:
        """The answer's body, empty when unanswered."""
        return self.answer.body if self.answer is not None else b""

    def header(self, name: bytes) -> bytes | None:
        """The first header of that (lower-case) name, None when absent or unanswered."""
        return self.answer.header(name) if self.answer is not None else None


def outcome_of(method: str, answer: Answer | None) -> Outcome:
    """What is known about a request that was sent.

    A 4xx says it did not happen. A 503 says so, too, unless its problem admits `may-have-happened`. Any other 5xx, or no answer at
    all, leaves it open; a read leaves nothing behind, so there it is simply failed.
    """
    if answer is not None:
        if answer.status < 400:
            return "ok"
        if answer.status < 500:
            return "failed"
        if answer.status == 503 and b"may-have-happened" not in answer.body:
            return "failed"
    return "failed" if method in ("GET", "HEAD") else "indeterminate"


class Client:
    """A pool of connections to one address; use as an async context manager."""

    def __init__(
        self,
        url: str,
        *,
        connections_max: int = 64,
        timeout_s: float = 5.0,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        self.url = url
        self._write = RequestWriter(url)
        self._headers = tuple(headers)
        self._connections_max = connections_max
        self._timeout_s = timeout_s
        self._all: set[Connection] = set()
        self._idle: list[Connection] = []
        self._opening = 0
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._watch: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._check_time_limits()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._watch is not None:
            self._watch.cancel()
        for connection in list(self._all):
            connection.abort()

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        headers: Iterable[tuple[str, str]] = (),
    ) -> Exchange:
        """Sends one request and waits for its answer, `timeout_s` at most; never raises for what the other side does."""
        request = self._write(method, path, body, (*self._headers, *headers))
        began_ns = time.monotonic_ns()
        deadline_s = self._loop.time() + self._timeout_s
        try:
            connection = await self._take(deadline_s)
        except OSError:  # never sent, so it certainly did not happen
            return Exchange("failed", None, began_ns, time.monotonic_ns())
        answered: asyncio.Future[Answer | None] = self._loop.create_future()
        connection.deadline_s = deadline_s
        invoke_ns = time.monotonic_ns()
        connection.send(request, lambda a: None if answered.done() else answered.set_result(a))
        try:
            answer = await answered
        except asyncio.CancelledError:
            connection.abort()
            raise
        return_ns = time.monotonic_ns()
        self._give_back(connection)
        return Exchange(outcome_of(method, answer), answer, invoke_ns, return_ns)

    async def _take(self, deadline_s: float) -> Connection:
        """The connection used last (so few are kept warm), else a new one, else the next to come free."""
        while (now_s := self._loop.time()) < deadline_s:
            while self._idle:
                connection = self._idle.pop()
                if connection.keep_alive and now_s - connection.idle_since_s < IDLE_MAX_S:
                    return connection
                connection.abort()
            if len(self._all) + self._opening < self._connections_max:
                return await self._open(deadline_s - now_s)
            if len(self._waiters) >= WAITERS_MAX:
                raise OSError("too many requests wait for a connection")
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._waiters.append(waiter)
            try:
                async with asyncio.timeout_at(deadline_s):
                    await waiter
            except TimeoutError:
                break
        self._wake_one()  # in case this one was woken at the very last moment, or after it
        raise TimeoutError("no connection came free in time")

    async def _open(self, timeout_s: float) -> Connection:
        self._opening += 1
        try:
            connection = await connect(self.url, timeout_s=timeout_s, on_lost=self._lost)
        except OSError:
            self._wake_one()  # whoever waits may try, too, or would wait for a connection that nobody opens
            raise
        finally:
            self._opening -= 1
        self._all.add(connection)
        return connection

    def _give_back(self, connection: Connection) -> None:
        if connection.keep_alive:
            connection.idle_since_s = self._loop.time()
            self._idle.append(connection)
            self._wake_one()
        else:
            connection.abort()

    def _lost(self, connection: Connection) -> None:
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._wake_one()

    def _wake_one(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _check_time_limits(self) -> None:
        now_s = self._loop.time()
        for connection in list(self._all):
            if connection.busy and now_s > connection.deadline_s:
                connection.abort()
        self._watch = self._loop.call_later(TIMEOUT_CHECK_S, self._check_time_limits)
