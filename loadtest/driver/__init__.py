"""The driver: load that does not measure itself. Plain HTTP/1.1 with httptools on uvloop, some 15 µs of CPU per request, more than half of it the kernel's.

Two ways of offering load, one kind of outcome:

*Open loop* — people arrive whether or not the system keeps up; latency counts from the intended moment::

    async with Client("http://127.0.0.1:8000", connections_max=64, timeout_s=5.0) as client:

        async def visit(number: int, intended_ns: int) -> None:
            exchange = await client.request("POST", "/v1/bookings", body=b"{...}", headers=[("Idempotency-Key", "k1")])
            exchange.outcome, exchange.status, exchange.body, exchange.header(b"server-timing")
            exchange.invoke_ns, exchange.return_ns  # monotonic nanoseconds

        offered = await open_loop(poisson(500, random.Random(1)), visit, seconds=10)
        offered.count, offered.dropped, offered.percentile_ms(99)  # how late the generator itself was

*Closed loop* — n connections, each sends its next request as soon as the last is answered, for t seconds; the cheapest
path there is (no task and no future per request), made for comparisons of throughput::

    request = RequestWriter("http://127.0.0.1:8000")
    totals = await closed_loop(
        "http://127.0.0.1:8000",
        connections=32,
        seconds=5,
        next_request=lambda n: request("POST", "/v1/bookings", body(n), [("Idempotency-Key", f"k{n}")]),
        on_answer=None,  # or a callback (n, Answer), for whoever wants the bodies
    )
    totals.per_second, totals.statuses, totals.unanswered, totals.percentile_ms(99)

An outcome has three values: `ok` (it happened), `failed` (it certainly did not), `indeterminate` (asked, but never
answered for sure: it may have happened). Run everything on uvloop: `uvloop.run(main())`.
"""

from loadtest.driver.arrivals import burst, constant, poisson, ramp
from loadtest.driver.client import Client, Exchange, Outcome
from loadtest.driver.closed_loop import NextRequest, Totals, closed_loop
from loadtest.driver.connection import Answer, RequestWriter
from loadtest.driver.open_loop import Offered, open_loop

__all__ = [
    "Answer",
    "Client",
    "Exchange",
    "NextRequest",
    "Offered",
    "Outcome",
    "RequestWriter",
    "Totals",
    "burst",
    "closed_loop",
    "constant",
    "open_loop",
    "poisson",
    "ramp",
]
