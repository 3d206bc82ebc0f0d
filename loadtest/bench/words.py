"""The measurement in sentences: the first line is the answer, the rest is what it rests on."""

from statistics import median

from loadtest.bench.figures import (
    FDATASYNC_MAX_MS,
    FDATASYNC_MIN_MS,
    HotSlot,
    Machine,
    SaleRound,
    Spread,
    objections,
)


def summary(measured: HotSlot) -> str:
    """What a person reads at the end of `loadtest bench`."""
    found = objections(measured)
    facts = {
        "ratio": _ratio(measured),
        "HTTP": _sale(measured),
        "pgbench": _yardstick(measured),
        "books": _books(measured),
        "CPU": f"{_cpu(measured.sale)} per booking",
        "fdatasync": f"p50 {measured.fdatasync_p50_ms:.3f} ms, {_comparable(measured)}",
        "machine": _machine(measured.machine),
    }
    return "\n".join(
        [
            f"{'holds' if not found else 'DOES NOT HOLD'}: {measured.claim}",
            *(f"  {objection}" for objection in found),
            "",
            *(f"  {name:10} {fact}" for name, fact in facts.items()),
        ]
    )


def round_line(number: int, of: int, what: str, per_second: float) -> str:
    """A line of progress."""
    return f"round {number} of {of}: {what:7} {per_second:7.0f}/s"


def _ratio(measured: HotSlot) -> str:
    ratio = measured.ratio
    return (
        f"{ratio.median:.2f} (neighbouring rounds {ratio.lowest:.2f} to {ratio.highest:.2f}), "
        f"wanted {measured.ratio_wanted:.1f}"
    )


def _sale(measured: HotSlot) -> str:
    sale = measured.sale
    return (
        f"{_rate(measured.sale_per_second)} with {sale[0].connections} connections, "
        f"p50 {median(one.p50_ms for one in sale):.1f} ms, p99 {median(one.p99_ms for one in sale):.1f} ms"
    )


def _yardstick(measured: HotSlot) -> str:
    tried = ", ".join(str(one.clients) for one in measured.calibration)
    return (
        f"{_rate(measured.yardstick_per_second)} with {measured.yardstick[0].clients} clients (the best of {tried}), "
        f"mean {median(one.latency_ms for one in measured.yardstick):.1f} ms"
    )


def _books(measured: HotSlot) -> str:
    books = measured.books
    return (
        f"{measured.accepted} answered 201; {books.confirmed} confirmed units, "
        f"{books.bookings} bookings, {books.events} events"
    )


def _rate(rate: Spread) -> str:
    return f"{rate.median:.0f}/s (rounds {rate.lowest:.0f} to {rate.highest:.0f})"


def _cpu(sale: list[SaleRound]) -> str:
    told = f"generator {median(one.generator_cpu_us for one in sale):.0f} µs"
    api_us = [one.api_cpu_us for one in sale if one.api_cpu_us is not None]
    return f"{told}, API process {median(api_us):.0f} µs" if api_us else told


def _comparable(measured: HotSlot) -> str:
    allowed = f"{FDATASYNC_MIN_MS} to {FDATASYNC_MAX_MS} ms"
    if measured.comparable:
        return f"within {allowed}, so the ratio compares with others"
    if measured.fdatasync_p50_ms < FDATASYNC_MIN_MS:
        return f"OUTSIDE {allowed}: flushes are almost free here, so batching gains less than elsewhere"
    return f"OUTSIDE {allowed}: flushes are slow here, so batching gains more than elsewhere"


def _machine(machine: Machine) -> str:
    quiet = "quiet before" if machine.quiet else "BUSY before: measure again when it is quiet"
    return (
        f"{machine.cores} cores, {machine.processor}, {machine.system}, Python {machine.python}; "
        f"load {machine.load_before:.1f}, {quiet}"
    )
