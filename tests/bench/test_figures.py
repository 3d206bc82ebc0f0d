"""A claim about speed holds only if the books do."""

import msgspec
from msgspec.structs import replace

from loadtest.bench.figures import (
    Books,
    HotSlot,
    Machine,
    SaleRound,
    YardstickRound,
    as_written,
    objections,
    spread,
)
from loadtest.bench.words import summary


def yardstick_round(per_second, *, clients=8):
    return YardstickRound(
        clients=clients, transactions=1000, failed=0, per_second=per_second, latency_ms=2.0
    )


def sale_round(per_second, **different):
    fields = {
        "connections": 128,
        "statuses": {201: 5000},
        "unanswered": 0,
        "per_second": per_second,
        "p50_ms": 10.0,
        "p99_ms": 30.0,
        "generator_cpu_us": 16.0,
        "api_cpu_us": 90.0,
    }
    return SaleRound(**(fields | different))


MEASURED = HotSlot(
    claim="the product is fast",
    started_at="2030-01-01T00:00:00Z",
    machine=Machine(
        cores=2, processor="a processor", system="Linux 6", python="3.11.7", load_before=0.25
    ),
    fdatasync_p50_ms=0.25,
    calibration=[yardstick_round(3900, clients=4), yardstick_round(4100)],
    yardstick=[yardstick_round(4000), yardstick_round(3000), yardstick_round(4200)],
    sale=[sale_round(12000), sale_round(9000), sale_round(13000)],
    sold_before=500,
    books=Books(confirmed=15500, bookings=15500, events=15500),
    yardstick_books=Books(confirmed=5000, bookings=5000, events=5000),
)


def test_a_rate_is_the_median_of_its_rounds_with_its_spread():
    assert msgspec.structs.astuple(spread([5, 1, 4])) == (4, 1, 5)


def test_the_ratio_is_that_of_the_medians_and_its_spread_that_of_neighbours():
    ratio = MEASURED.ratio
    assert (ratio.median, ratio.lowest, round(ratio.highest, 2)) == (3.0, 3.0, 3.1)
    assert objections(MEASURED) == []


def test_half_as_fast_as_wanted_does_not_hold():
    slow = replace(MEASURED, sale=[sale_round(r) for r in (6000, 5000, 7000)])
    [objection] = objections(slow)
    assert "1.50" in objection
    assert summary(slow).startswith("DOES NOT HOLD")


def test_a_sale_with_refusals_or_lost_answers_measures_nothing():
    rounds = [
        sale_round(12000, statuses={201: 4999, 503: 1}),
        sale_round(12000),
        sale_round(12000, unanswered=2),
    ]
    dropped = replace(
        MEASURED, sale=rounds, books=Books(confirmed=15499, bookings=15499, events=15499)
    )
    [objection] = objections(dropped)
    assert objection.startswith("3 requests were not answered with 201")


def test_one_booking_too_many_or_too_few_anywhere_in_the_books_is_told():
    for wrong in (
        Books(confirmed=15501, bookings=15500, events=15500),
        Books(confirmed=15500, bookings=15499, events=15500),
        Books(confirmed=15500, bookings=15500, events=15499),
    ):
        [objection] = objections(replace(MEASURED, books=wrong))
        assert "15500 bookings were answered 201" in objection


def test_a_yardstick_that_did_not_sell_what_it_counts_is_broken():
    [objection] = objections(
        replace(MEASURED, yardstick_books=Books(confirmed=5000, bookings=4999, events=4999))
    )
    assert "yardstick is broken" in objection


def test_where_flushes_are_free_or_slow_the_ratio_says_that_it_compares_with_nothing():
    assert "within 0.1 to 0.5 ms" in summary(MEASURED)
    assert "OUTSIDE 0.1 to 0.5 ms: flushes are almost free" in summary(
        replace(MEASURED, fdatasync_p50_ms=0.02)
    )
    assert "OUTSIDE 0.1 to 0.5 ms: flushes are slow" in summary(
        replace(MEASURED, fdatasync_p50_ms=4.0)
    )


def test_a_machine_that_others_use_is_told():
    busy = replace(MEASURED.machine, load_before=3.0)
    assert "load 3.0, BUSY before" in summary(replace(MEASURED, machine=busy))


def test_the_summary_tells_speed_spread_books_cpu_and_machine():
    said = summary(MEASURED)
    for part in (
        "holds: the product is fast",
        "3.00 (neighbouring rounds 3.00 to 3.10), wanted 2.0",
        "12000/s (rounds 9000 to 13000) with 128 connections, p50 10.0 ms, p99 30.0 ms",
        "4000/s (rounds 3000 to 4200) with 8 clients (the best of 4, 8), mean 2.0 ms",
        "15500 answered 201; 15500 confirmed units, 15500 bookings, 15500 events",
        "generator 16 µs, API process 90 µs per booking",
        "2 cores, a processor, Linux 6, Python 3.11.7; load 0.2, quiet before",
    ):
        assert part in said


def test_the_json_has_the_judgement_beside_what_was_measured():
    written = msgspec.json.decode(msgspec.json.encode(as_written(MEASURED)))
    assert written["holds"] is True
    assert written["ratio"]["median"] == 3.0
    assert [one["per_second"] for one in written["sale"]] == [12000, 9000, 13000]
