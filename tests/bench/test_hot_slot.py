"""A bench in small, with everything real: what it measured is not judged here, whether it may be believed is."""

from loadtest.bench.hot_slot import measure


async def test_a_short_bench_sells_with_both_and_every_booking_is_in_the_books():
    said = []
    measured = await measure(
        rounds=1, round_s=1, connections=16, clients=(2, 4), calibration_s=1, say=said.append
    )
    assert measured.accepted > 0
    assert measured.accepted == measured.books.confirmed
    assert measured.accepted == measured.books.bookings == measured.books.events
    assert [sale.other_answers for sale in measured.sale] == [0]
    pgbench = sum(one.transactions for one in (*measured.calibration, *measured.yardstick))
    assert pgbench == measured.yardstick_books.confirmed == measured.yardstick_books.bookings
    best = max(measured.calibration, key=lambda one: one.per_second)
    assert [one.clients for one in measured.yardstick] == [best.clients]
    assert measured.fdatasync_p50_ms > 0
    assert measured.sale[0].generator_cpu_us > 0
    assert said[0].startswith("starting")
    assert said[-1].startswith("round 1 of 1: HTTP")
