"""What a bench measured, and whether the claim holds: plain numbers, no clock and no process.

A rate is given as the median of its rounds with the lowest and highest beside it; a ratio is the ratio of two medians. A sale that lost or
invented a booking measured nothing, so the claim fails with it whatever its speed.
"""

from collections.abc import Sequence
from statistics import median

from msgspec import Struct, structs

RATIO_WANTED = 2.0
# What a flush may cost for a ratio to be comparable with others: batching saves flushes, so it saves little where they are almost free
# (memory, a controller with a battery) and looks better than it is where they are slow (disks that spin).
FDATASYNC_MIN_MS = 0.1
FDATASYNC_MAX_MS = 0.5


class Spread(Struct, frozen=True, kw_only=True):
    """The median of several rounds, and how far they lie apart."""

    median: float
    lowest: float
    highest: float


def spread(samples: Sequence[float]) -> Spread:
    """Median, lowest and highest of at least one sample."""
    return Spread(median=median(samples), lowest=min(samples), highest=max(samples))


class YardstickRound(Struct, frozen=True, kw_only=True):
    """One run of pgbench."""

    clients: int
    transactions: int
    failed: int
    per_second: float
    latency_ms: float


class SaleRound(Struct, frozen=True, kw_only=True):
    """One sale on the hot slot through HTTP: what was answered, and whose CPU it took (None where the machine does not tell)."""

    connections: int
    statuses: dict[int, int]
    unanswered: int
    per_second: float
    p50_ms: float
    p99_ms: float
    generator_cpu_us: float
    """CPU of the generator per answered request."""
    api_cpu_us: float | None
    """CPU of the API process per answered request."""

    @property
    def accepted(self) -> int:
        """How many bookings were answered 201."""
        return self.statuses.get(201, 0)

    @property
    def other_answers(self) -> int:
        """How many requests were refused, failed or never answered: a sale that measures has none."""
        return sum(self.statuses.values()) - self.accepted + self.unanswered


class Books(Struct, frozen=True, kw_only=True):
    """What the database holds after the sales, counted in three places that must agree."""

    confirmed: int
    """Units of the slot."""
    bookings: int
    """Bookings of one unit each."""
    events: int
    """Events that say so."""


class Machine(Struct, frozen=True, kw_only=True):
    """Where it was measured."""

    cores: int
    processor: str
    system: str
    python: str
    load_before: float
    """Processes that wanted a core in the minute before: what is not ours takes from both sides, and not alike."""

    @property
    def quiet(self) -> bool:
        """Whether at most a quarter of the cores was in use before."""
        return self.load_before <= self.cores / 4


class HotSlot(Struct, frozen=True, kw_only=True):
    """The whole measurement, as `--out` writes it."""

    claim: str
    started_at: str
    machine: Machine
    fdatasync_p50_ms: float
    calibration: list[YardstickRound]
    """One short run per number of clients; the best number was used in the rounds."""
    yardstick: list[YardstickRound]
    sale: list[SaleRound]
    sold_before: int
    """Bookings accepted while warming up."""
    books: Books
    yardstick_books: Books
    ratio_wanted: float = RATIO_WANTED

    @property
    def yardstick_per_second(self) -> Spread:
        """Transactions per second of pgbench."""
        return spread([one.per_second for one in self.yardstick])

    @property
    def sale_per_second(self) -> Spread:
        """Bookings per second through HTTP."""
        return spread([one.per_second for one in self.sale])

    @property
    def ratio(self) -> Spread:
        """The ratio of the medians; lowest and highest are those of neighbouring rounds."""
        pairs = [
            s.per_second / y.per_second for s, y in zip(self.sale, self.yardstick, strict=True)
        ]
        return Spread(
            median=self.sale_per_second.median / self.yardstick_per_second.median,
            lowest=min(pairs),
            highest=max(pairs),
        )

    @property
    def accepted(self) -> int:
        """Every booking answered 201, warming up included."""
        return self.sold_before + sum(one.accepted for one in self.sale)

    @property
    def comparable(self) -> bool:
        """Whether a flush costs here what it may for the ratio to be compared with others."""
        return FDATASYNC_MIN_MS <= self.fdatasync_p50_ms <= FDATASYNC_MAX_MS


def as_written(measured: HotSlot) -> dict[str, object]:
    """The measurement with what follows from it, for the JSON of `--out`."""
    found = objections(measured)
    return {
        "holds": not found,
        "objections": found,
        "ratio": measured.ratio,
        "sale_per_second": measured.sale_per_second,
        "yardstick_per_second": measured.yardstick_per_second,
        "accepted": measured.accepted,
        "comparable": measured.comparable,
        **structs.asdict(measured),
    }


def objections(measured: HotSlot) -> list[str]:
    """Why the claim does not hold: sentences, none when it does."""
    found = []
    if measured.ratio.median < measured.ratio_wanted:
        found.append(
            f"The ratio is {measured.ratio.median:.2f}; wanted: {measured.ratio_wanted:.1f}."
        )
    if others := sum(one.other_answers for one in measured.sale):
        found.append(f"{others} requests were not answered with 201, so the sale was not all sale.")
    books = measured.books
    if {books.confirmed, books.bookings, books.events} != {measured.accepted}:
        found.append(
            f"{measured.accepted} bookings were answered 201, but the slot has {books.confirmed} confirmed, "
            f"with {books.bookings} bookings and {books.events} events."
        )
    yardstick = measured.yardstick_books
    transactions = sum(one.transactions for one in (*measured.calibration, *measured.yardstick))
    if yardstick.confirmed != transactions or yardstick.bookings != transactions:
        found.append(
            f"pgbench counts {transactions} transactions, but sold {yardstick.confirmed} units in "
            f"{yardstick.bookings} bookings: the yardstick is broken."
        )
    return found
