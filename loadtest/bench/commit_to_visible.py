"""The claim that the read side follows within moments: from a booking's commit to the moment a reader can see it, at four rates: a calm sale has faults of its own.

A booking's `recorded_at` is taken in its deciding transaction, right before the commit; a client of the live stream notes when each position
arrives. The difference is an upper bound of commit to visible, and all of it is measured, for every booking. Beside that some clients read their
own booking with its token, which is what a person would notice.
"""

import time
from array import array
from collections.abc import Iterator
from random import Random

from msgspec import structs

from loadtest.bench.arm import warm_up
from loadtest.bench.figures import Measured, Turn, Wanted
from loadtest.bench.plan import Bench
from loadtest.bench.product import Product, in_production
from loadtest.bench.visibility import P50, P99, Watch
from loadtest.driver import Answer, NextRequest, poisson
from loadtest.driver.percentile import percentile
from loadtest.driver.volley import volley
from loadtest.instruments.cpu_used import per_answer_us
from loadtest.workloads.many_bookings import one_unit_each

CLAIM = "A committed booking is visible to readers within milliseconds"
ABOUT_S = 130
CALM, SLOW, FAST, SATURATED = "20/s", "1,000/s", "4,000/s", "saturation"
RATES = {CALM: 20.0, SLOW: 1000.0, FAST: 4000.0}
WANTED = [
    Wanted(says="bookings really answered per second at 20/s", arm=CALM, at_least=15),
    Wanted(says="bookings really answered per second at 1,000/s", arm=SLOW, at_least=950),
    Wanted(says="bookings really answered per second at 4,000/s", arm=FAST, at_least=3800),
    Wanted(says="commit to visible at 20/s, p50 ms", arm=CALM, figure=P50),
    Wanted(says="commit to visible at 20/s, p99 ms", arm=CALM, figure=P99, at_most=40),
    Wanted(says="commit to visible at 1,000/s, p50 ms", arm=SLOW, figure=P50, at_most=8),
    Wanted(says="commit to visible at 1,000/s, p99 ms", arm=SLOW, figure=P99, at_most=40),
    Wanted(says="commit to visible at 4,000/s, p50 ms", arm=FAST, figure=P50),
    Wanted(says="commit to visible at 4,000/s, p99 ms", arm=FAST, figure=P99, at_most=60),
    Wanted(says="commit to visible at saturation, p50 ms", arm=SATURATED, figure=P50),
    Wanted(says="commit to visible at saturation, p99 ms", arm=SATURATED, figure=P99, at_most=150),
    Wanted(says="read of one's own booking at 1,000/s, p99 ms", arm=SLOW, figure="own_read_p99_ms"),
]
CONNECTIONS = 64
TURN_S_MIN = 2.0
LONGER = 3
"""A tail needs more samples than a rate: its turns last so many times as long."""


async def measure(bench: Bench) -> Measured:
    """Four rates, each with the stream followed and read back from the log.

    Raises:
        CannotRunError: the system could not be started, or does not show what it accepted.
    """
    plan = bench.plan
    seconds = max(TURN_S_MIN, plan.turn_s * LONGER)
    async with in_production(bench, parts=None) as product:
        [slot_id] = await product.open_slots(1)
        requests = one_unit_each(product.url, "/v1/bookings", [slot_id], product.headers)
        sale = product.sale(SATURATED, requests, connections=plan.connections)
        await warm_up([sale], seconds=plan.warm_up_s)
        turns = []
        for number in range(max(1, plan.rounds // 2)):
            for name, per_second in RATES.items():
                async with Watch(product, slot_id) as watch:
                    turn = await _paced(
                        product,
                        name,
                        requests(),
                        arrivals=poisson(per_second, Random(number)),
                        seconds=seconds,
                    )
                sale.answered += turn.answered + watch.own_bookings
                turns.append(structs.replace(turn, more=turn.more | watch.figures))
                bench.say(_told(turns[-1]))
            async with Watch(product, slot_id) as watch:
                sold = await sale.turn(seconds)
            sale.answered += watch.own_bookings
            turns.append(structs.replace(sold, more=watch.figures))
            bench.say(_told(turns[-1]))
        return Measured(
            name="commit_to_visible",
            claim=CLAIM,
            wanted=WANTED,
            turns=turns,
            broken=await product.broken(),
            notes=[
                "Every booking counts; at the three fixed rates its answer's latency counts from the moment it was meant to be sent."
            ],
        )


def _told(turn: Turn) -> str:
    return f"{turn.arm}: {turn.per_second:.0f}/s, visible after p50 {turn.more[P50]:.1f} ms, p99 {turn.more[P99]:.1f} ms"


async def _paced(
    product: Product,
    name: str,
    next_request: NextRequest,
    *,
    arrivals: Iterator[float],
    seconds: float,
) -> Turn:
    """Bookings at a rate of their own, however fast the answers come."""
    latencies_ms = array("f")
    astray = 0

    def note(_: int, intended_ns: int, __: int, return_ns: int, answer: Answer | None) -> None:
        nonlocal astray
        if answer is not None and answer.status == 201:
            latencies_ms.append((return_ns - intended_ns) / 1e6)
        else:
            astray += 1

    before, began_s = product.read_cpu(), time.perf_counter()
    offered = await volley(
        product.url,
        arrivals,
        seconds=seconds,
        next_request=next_request,
        on_answer=note,
        connections=CONNECTIONS,
    )
    took_s = (
        time.perf_counter() - began_s
    )  # until the last answer, which is late where the rate is too much
    return Turn(
        arm=name,
        seconds=took_s,
        answered=len(latencies_ms),
        astray=astray + offered.dropped,
        per_second=len(latencies_ms) / took_s,
        p50_ms=percentile(latencies_ms, 50),
        p99_ms=percentile(latencies_ms, 99),
        clients=CONNECTIONS,
        cpu_us=per_answer_us(before, product.read_cpu(), len(latencies_ms)),
        more={"late_p99_ms": offered.percentile_ms(99)},
    )
