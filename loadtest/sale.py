"""One sale of one slot: buyers arrive open loop, look, think, book, until everybody has learned that it is sold out.

Each looks first and goes away when too little is shown; nobody looks twice. So a booking attempt is a decision on a view that was true some
while ago, which is the whole experiment.
"""

import asyncio
import time
from datetime import datetime
from random import Random
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from loadtest.driver import Client, Exchange, Offered, open_loop, poisson
from loadtest.history import Operation
from loadtest.inventory import seeded_id, timing_ms

# Once somebody was shown "sold out", so long go on arriving who would notice if it were not for everyone.
TAIL_S = 0.1


class Sale(Struct, frozen=True, kw_only=True):
    """Who sells what to how many: λ buyers per second on one slot, each wanting one unit."""

    run: str
    arm: str
    slot_id: str
    buyers_per_s: float
    think_ms: float
    seconds_max: float
    units: int = 1


class _Shown(Struct):
    remaining: int
    version: int
    position: int
    as_of: datetime


class _Decided(Struct):
    """What an answer to a booking says, accepted or refused."""

    booking_id: str | None = None
    position: int | None = None
    as_of: datetime | None = None


_decode_shown = msgspec.json.Decoder(_Shown).decode
_decode_decided = msgspec.json.Decoder(_Decided).decode


class Buyers:
    """The people of one sale; `operations` is what they did, in order of completion."""

    def __init__(self, client: Client, sale: Sale, rng: Random) -> None:
        self.operations: list[Operation] = []
        self._client = client
        self._sale = sale
        self._rng = rng
        self._sold_out_since_s: float | None = None
        self._path = f"/v1/slots/{sale.slot_id}"

    async def come(self) -> Offered:
        """Lets buyers arrive until the sell-out is known, and the last of them finish."""
        arrivals_s = poisson(self._sale.buyers_per_s, Random(self._rng.getrandbits(64)))
        return await open_loop(
            arrivals_s, self._buy, seconds=self._sale.seconds_max, until=self._all_know
        )

    @property
    def saw_the_end(self) -> bool:
        """Whether somebody was shown that it is sold out."""
        return self._sold_out_since_s is not None

    def _all_know(self) -> bool:
        since_s = self._sold_out_since_s
        return since_s is not None and time.monotonic() - since_s > TAIL_S

    async def _buy(self, number: int, intended_ns: int) -> None:
        # Drawn before the first wait, so that the same seed gives the same people whatever the answers.
        think_s = self._rng.expovariate(1000 / self._sale.think_ms)
        customer_id = seeded_id(self._rng)
        key = seeded_id(self._rng)
        looked = await self._client.request("GET", self._path)
        look = self._operation("look", number, intended_ns, looked)
        if looked.outcome != "ok":
            self.operations.append(look)
            return
        shown = _decode_shown(looked.body)
        look = replace(
            look,
            remaining=shown.remaining,
            version=shown.version,
            position=shown.position,
            as_of=shown.as_of,
        )
        self.operations.append(look)
        if shown.remaining < self._sale.units:
            if self._sold_out_since_s is None:
                self._sold_out_since_s = time.monotonic()
            return
        await asyncio.sleep(think_s)
        body = {
            "customer_id": customer_id,
            "mode": "book",
            "lines": [{"slot_id": self._sale.slot_id, "units": self._sale.units}],
        }
        headers = [("Idempotency-Key", key)]
        if look.token_out is not None:
            headers.append(("Based-On", look.token_out))
        booked = await self._client.request(
            "POST", "/v1/bookings", body=msgspec.json.encode(body), headers=headers
        )
        decided_ns = looked.return_ns + int(think_s * 1e9)
        book = self._operation("book", number, decided_ns, booked)
        answer = _decode_decided(booked.body) if booked.status in (201, 409) else _Decided()
        self.operations.append(
            replace(
                book,
                key=key,
                based_on=look.token_out,
                booking_id=answer.booking_id,
                position=answer.position,
                as_of=answer.as_of,
            )
        )

    def _operation(
        self, op: Literal["look", "book"], journey: int, intended_ns: int, exchange: Exchange
    ) -> Operation:
        token = exchange.header(b"consistency-token")
        timing = exchange.header(b"server-timing") or b""
        return Operation(
            run=self._sale.run,
            arm=self._sale.arm,
            journey=journey,
            op=op,
            slot_id=self._sale.slot_id,
            units=self._sale.units,
            intended_ns=intended_ns,
            invoke_ns=exchange.invoke_ns,
            return_ns=exchange.return_ns,
            outcome=exchange.outcome,
            status=exchange.status,
            token_out=token.decode() if token is not None else None,
            lag_ms=timing_ms(timing, b"lag"),
            wait_ms=timing_ms(timing, b"wait"),
        )
