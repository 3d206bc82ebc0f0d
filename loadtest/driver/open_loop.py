"""Load that does not wait for the system: visits begin at the moments drawn beforehand, however slow the answers are.

The generator also reports on itself: how many visits it offered, dropped (more than `in_flight_max` were unfinished) and how late it
started them. An experiment whose generator was late says so.
"""

import asyncio
import time
from array import array
from collections.abc import Awaitable, Callable, Iterator

from loadtest.driver.percentile import percentile

Visit = Callable[[int, int], Awaitable[None]]

# uvloop's timers have millisecond grain; shorter waits only turn the loop without sleeping.
SLEEP_MIN_S = 0.0005


class Offered:
    """What the generator did: visits offered, dropped, its own lateness in milliseconds, how long it offered, and its seconds on a CPU."""

    def __init__(self) -> None:
        self.count = 0
        self.dropped = 0
        self.seconds = 0.0
        self.cpu_s = 0.0
        self.lateness_ms = array("f")

    def percentile_ms(self, percent: float) -> float:
        """That percentile of the generator's own lateness."""
        return percentile(self.lateness_ms, percent)


async def open_loop(
    arrivals_s: Iterator[float],
    visit: Visit,
    *,
    seconds: float,
    until: Callable[[], bool] = lambda: False,
    in_flight_max: int = 10_000,
) -> Offered:
    """Starts `visit(number, intended_ns)` at each arrival until `seconds` have passed or `until()`; then lets all finish.

    Cancelled, it cancels the visits still under way.

    Raises:
        Exception: a visit raised it. That ends the loop: an experiment does not go on without some of its people.
    """
    offered = Offered()
    under_way: set[asyncio.Task[None]] = set()
    failures: list[BaseException] = []

    def finished(task: asyncio.Task[None]) -> None:
        under_way.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            failures.append(failure)

    start_ns, start_cpu_s = time.monotonic_ns(), time.process_time()
    try:
        for number, moment_s in enumerate(arrivals_s):
            intended_ns = start_ns + int(moment_s * 1e9)
            if (intended_ns - time.monotonic_ns()) / 1e9 > SLEEP_MIN_S:
                await asyncio.sleep((intended_ns - time.monotonic_ns()) / 1e9)
            if moment_s >= seconds or until() or failures:
                break
            offered.count += 1
            offered.lateness_ms.append(max(0.0, (time.monotonic_ns() - intended_ns) / 1e6))
            if len(under_way) >= in_flight_max:
                offered.dropped += 1
                continue
            task = asyncio.ensure_future(visit(number, intended_ns))
            under_way.add(task)
            task.add_done_callback(finished)
        offered.seconds = (time.monotonic_ns() - start_ns) / 1e9
        if under_way:
            await asyncio.wait(under_way)
        offered.cpu_s = time.process_time() - start_cpu_s
    finally:
        for task in list(under_way):
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
    if failures:
        raise failures[0]
    return offered
