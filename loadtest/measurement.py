"""From what was done and what was logged to the figures of a sale. Pure, so that a report can be made again from a history."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import accumulate
from statistics import fmean

from msgspec import Struct

from loadtest.decisions import Decision, around_the_sell_out, decisions, milliseconds
from loadtest.driver.percentile import percentile
from loadtest.findings import Arm, Moment, Plan, Row, SaleFigures, Timeline
from loadtest.history import LoggedEvent, LoggedSlot, Operation
from loadtest.theory.staleness_budget import band, decisions_in_flight
from loadtest.verdict import Judgement

TIMELINE_POINTS_MAX = 240


class Generator(Struct, frozen=True, kw_only=True):
    """How well the generator did its own part."""

    offered: int
    late_p99_ms: float
    dropped: int


class MeasuredSale(Struct, frozen=True, kw_only=True):
    """The figures of a sale, with the samples that are pooled over several."""

    figures: SaleFigures
    shown_ages_ms: list[float]
    decisions: list[Decision]
    booking_latencies_ms: list[float]
    timeline: Timeline


def measure(
    slot_id: str,
    *,
    capacity: int,
    operations: Sequence[Operation],
    events: Sequence[LoggedEvent],
    judgement: Judgement,
    generator: Generator,
) -> MeasuredSale:
    """The figures of one slot's sale."""
    sold = [
        (event, change)
        for event in events
        for change in event.slots
        if change.slot_id == slot_id and change.units
    ]
    looks = {o.journey: o for o in operations if o.op == "look"}
    books = [o for o in operations if o.op == "book"]
    attempts = decisions(operations, [event for event, _ in sold])
    if sold:
        attempts = around_the_sell_out(
            attempts,
            opened_at=sold[0][0].recorded_at,
            sold_out_at=_sold_out_at(sold, capacity),
        )
    accepted = sum(change.units for _, change in sold)
    seconds = (sold[-1][0].recorded_at - sold[0][0].recorded_at).total_seconds() if sold else 0.0
    figures = SaleFigures(
        slot_id=slot_id,
        capacity=capacity,
        offered=generator.offered,
        accepted=accepted,
        oversold=max(0, accepted - capacity),
        refused=sum(o.status == 409 for o in books),
        turned_away=sum(o.remaining is not None and o.remaining < o.units for o in looks.values()),
        indeterminate=sum(o.outcome == "indeterminate" for o in operations),
        failed=sum(o.outcome == "failed" and o.status != 409 for o in operations),
        decision_staleness_ms=_mean([attempt.age_ms for attempt in attempts]),
        bookings_per_s=len(sold) / seconds if seconds else 0.0,
        generator_late_p99_ms=generator.late_p99_ms,
        dropped=generator.dropped,
        judgement=judgement,
    )
    return MeasuredSale(
        figures=figures,
        shown_ages_ms=[
            lag_ms for book in books if (lag_ms := looks[book.journey].lag_ms) is not None
        ],
        decisions=attempts,
        booking_latencies_ms=[(o.return_ns - o.intended_ns) / 1e6 for o in books],
        timeline=_timeline(capacity, sold, looks.values()),
    )


def summarise(arm: Arm, injected_lag_ms: int, plan: Plan, sales: Sequence[MeasuredSale]) -> Row:
    """One row of the table: the mean of the sales beside what theory expects of their measured D."""
    figures = [sale.figures for sale in sales]
    ages_ms = [age for sale in sales for age in sale.shown_ages_ms]
    attempts = [attempt for sale in sales for attempt in sale.decisions]
    latencies_ms = [latency for sale in sales for latency in sale.booking_latencies_ms]
    # Each sale counts once, however many attempts were under way in it.
    staleness_ms = _mean([f.decision_staleness_ms for f in figures])
    return Row(
        arm=arm,
        injected_lag_ms=injected_lag_ms,
        accepted=fmean(f.accepted for f in figures),
        oversold=fmean(f.oversold for f in figures),
        expected=decisions_in_flight(plan.buyers_per_s, staleness_ms),
        band=band(plan.buyers_per_s, staleness_ms, len(figures)),
        refused=fmean(f.refused for f in figures),
        age_p50_ms=percentile(ages_ms, 50),
        age_p99_ms=percentile(ages_ms, 99),
        think_and_queue_ms=_mean([attempt.think_and_queue_ms for attempt in attempts]),
        booking_p50_ms=percentile(latencies_ms, 50),
        booking_p99_ms=percentile(latencies_ms, 99),
        bookings_per_s=fmean(f.bookings_per_s for f in figures),
        opportunities=sum(f.judgement.opportunities for f in figures),
        sales=figures,
        timeline=sales[0].timeline,
    )


def _sold_out_at(sold: Sequence[tuple[LoggedEvent, LoggedSlot]], capacity: int) -> datetime:
    """When the last unit there was went."""
    units = accumulate(change.units for _, change in sold)
    moments = (event.recorded_at for event, _ in sold)
    return next(
        (at for at, so_far in zip(moments, units, strict=True) if so_far >= capacity),
        sold[-1][0].recorded_at,
    )


def _timeline(
    capacity: int,
    sold: Sequence[tuple[LoggedEvent, LoggedSlot]],
    looks: Iterable[Operation],
) -> Timeline:
    """Units left by the log, and as shown at the moment of showing (`as_of` + age), both in database time."""
    if not sold:
        return Timeline(truth=[], shown=[])
    start = sold[0][0].recorded_at
    truth: list[Moment] = []
    left = capacity
    for event, change in sold:
        left -= change.units
        truth.append(Moment(milliseconds(event.recorded_at - start), left))
    shown = sorted(
        (
            Moment(milliseconds(look.as_of - start) + look.lag_ms, look.remaining)
            for look in looks
            if look.as_of is not None and look.lag_ms is not None and look.remaining is not None
        ),
        key=lambda moment: moment.at_ms,
    )
    return Timeline(truth=_thinned(truth), shown=_thinned(shown))


def _thinned(moments: list[Moment]) -> list[Moment]:
    step = -(-len(moments) // TIMELINE_POINTS_MAX) or 1
    return moments[::step] + moments[-1:]


def _mean(samples: Sequence[float]) -> float:
    return fmean(samples) if samples else 0.0
