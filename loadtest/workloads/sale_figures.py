"""From the record of a sale to its figures. Pure, so that a report can be made again from a history."""

from collections.abc import Sequence
from datetime import datetime
from itertools import accumulate
from statistics import fmean

from msgspec import Struct

from loadtest.driver.percentile import percentile
from loadtest.evidence.decisions import Decision, around_the_sell_out, decisions
from loadtest.evidence.trial import Record
from loadtest.experiment.findings import Measure, mean_of
from loadtest.history import LoggedEvent, LoggedSlot


class SaleFigures(Struct, frozen=True, kw_only=True):
    """One sale in numbers: units by the event log, answers by the history, times in milliseconds."""

    accepted: int
    oversold: int
    refused: int
    lost: int
    decision_staleness_ms: float
    bookings_per_s: float
    shown_ages_ms: list[float]
    decisions: list[Decision]
    booking_latencies_ms: list[float]


def sale_figures(record: Record, slot_id: str, *, capacity: int) -> SaleFigures:
    """The figures of one slot's sale."""
    sold = [
        (event, change)
        for event in record.events
        for change in event.slots
        if change.slot_id == slot_id and change.units
    ]
    looks = {o.journey: o for o in record.of("look")}
    books = record.of("book")
    attempts = decisions(record.operations, [event for event, _ in sold])
    if sold:
        attempts = around_the_sell_out(
            attempts,
            opened_at=sold[0][0].recorded_at,
            sold_out_at=_sold_out_at(sold, capacity),
        )
    accepted = sum(change.units for _, change in sold)
    seconds = (sold[-1][0].recorded_at - sold[0][0].recorded_at).total_seconds() if sold else 0.0
    return SaleFigures(
        accepted=accepted,
        oversold=max(0, accepted - capacity),
        refused=sum(o.status == 409 for o in books),
        lost=sum(
            o.outcome == "indeterminate" or (o.outcome == "failed" and o.status != 409)
            for o in record.operations
        ),
        decision_staleness_ms=_mean([attempt.age_ms for attempt in attempts]),
        bookings_per_s=len(sold) / seconds if seconds else 0.0,
        shown_ages_ms=[
            lag_ms for book in books if (lag_ms := looks[book.journey].lag_ms) is not None
        ],
        decisions=attempts,
        booking_latencies_ms=[(o.return_ns - o.intended_ns) / 1e6 for o in books],
    )


def sale_measures(sales: Sequence[SaleFigures]) -> list[Measure]:
    """The columns of the table: means over the sales, percentiles over all their samples."""
    ages_ms = [age for sale in sales for age in sale.shown_ages_ms]
    attempts = [attempt for sale in sales for attempt in sale.decisions]
    latencies_ms = [latency for sale in sales for latency in sale.booking_latencies_ms]
    return [
        mean_of("accepted", [s.accepted for s in sales], digits=1),
        mean_of("oversold", [s.oversold for s in sales], digits=1),
        mean_of("refused", [s.refused for s in sales], digits=1),
        Measure(name="age p50 ms", value=percentile(ages_ms, 50)),
        Measure(name="age p99 ms", value=percentile(ages_ms, 99)),
        Measure(
            name="Z ms",
            value=_mean([attempt.think_and_queue_ms for attempt in attempts]),
            detail=True,
        ),
        Measure(name="booking p50 ms", value=percentile(latencies_ms, 50), digits=1, detail=True),
        Measure(name="booking p99 ms", value=percentile(latencies_ms, 99), digits=1, detail=True),
        mean_of("sold/s", [s.bookings_per_s for s in sales], detail=True),
    ]


def _sold_out_at(sold: Sequence[tuple[LoggedEvent, LoggedSlot]], capacity: int) -> datetime:
    """When the last unit there was went."""
    units = accumulate(change.units for _, change in sold)
    moments = (event.recorded_at for event, _ in sold)
    return next(
        (at for at, so_far in zip(moments, units, strict=True) if so_far >= capacity),
        sold[-1][0].recorded_at,
    )


def _mean(samples: Sequence[float]) -> float:
    return fmean(samples) if samples else 0.0
