"""One sale of one slot: buyers arrive open loop, look, think, book, until everybody has learned that it is sold out.

Each looks first and goes away when too little is shown; nobody looks twice. So a booking attempt is a decision on a view that was true some
while ago, which is the whole experiment.
"""

import asyncio
import time
from random import Random

from msgspec import Struct

from loadtest.driver import Client, Offered, open_loop, poisson
from loadtest.experiment.laboratory import Recorder
from loadtest.workloads.person import Person

# Once somebody was shown "sold out", so long go on arriving who would notice if it were not for everyone.
TAIL_S = 0.1


class Sale(Struct, frozen=True, kw_only=True):
    """Who sells what to how many: λ buyers per second on one slot, each wanting one unit.

    With `strong` everybody looks once more, strongly, after thinking and right before booking.
    """

    slot_id: str
    buyers_per_s: float
    think_ms: float
    seconds_max: float
    units: int = 1
    strong: bool = False


class Buyers:
    """The people of one sale; what they do goes into the record."""

    def __init__(self, client: Client, sale: Sale, record: Recorder, rng: Random) -> None:
        self._client = client
        self._sale = sale
        self._record = record
        self._rng = rng
        self._sold_out_since_s: float | None = None

    async def come(self) -> Offered:
        """Lets buyers arrive until the sell-out is known, and the last of them finish."""
        arrivals_s = poisson(self._sale.buyers_per_s, Random(self._rng.getrandbits(64)))
        offered = await open_loop(
            arrivals_s, self._buy, seconds=self._sale.seconds_max, until=self._all_know
        )
        self._record.offered(offered)
        return offered

    def _all_know(self) -> bool:
        since_s = self._sold_out_since_s
        return since_s is not None and time.monotonic() - since_s > TAIL_S

    async def _buy(self, number: int, intended_ns: int) -> None:
        # Drawn before the first wait, so that the same seed gives the same people whatever the answers.
        buyer = Person(self._client, self._record, number, self._rng)
        think_s = self._rng.expovariate(1000 / self._sale.think_ms)
        key = buyer.new_key()
        sale = self._sale
        look = await buyer.look(sale.slot_id, units=sale.units, intended_ns=intended_ns)
        if look.outcome != "ok":
            return
        if look.remaining is None or look.remaining < sale.units:
            self._sold_out_since_s = self._sold_out_since_s or time.monotonic()
            return
        await asyncio.sleep(think_s)
        decided_ns = look.return_ns + int(think_s * 1e9)
        if sale.strong:
            look = await buyer.look(
                sale.slot_id, units=sale.units, strong=True, intended_ns=decided_ns
            )
            if look.outcome != "ok" or look.remaining is None or look.remaining < sale.units:
                return
            decided_ns = look.return_ns
        await buyer.book(
            sale.slot_id, sale.units, key=key, based_on=look.token_out, intended_ns=decided_ns
        )
