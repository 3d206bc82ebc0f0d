"""When what was sold meanwhile became visible: the live stream followed, own bookings read back, and the log asked for the moments of record."""

import asyncio
import random
from array import array
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Self

import msgspec
from msgspec import Struct

from loadtest.bench.product import Product
from loadtest.bench.stream import Seen, following
from loadtest.driver import Client
from loadtest.driver.percentile import percentile
from loadtest.failures import CannotRunError

P50, P99 = "visible_p50_ms", "visible_p99_ms"
OWN_READS_EVERY_S = 0.02
PAGE = 1000
SEEN_DEADLINE_S = 10.0
CUSTOMER = "7d2f0c7e-4c52-4b5e-9f0e-3a6c1d9b0003"


class _Standing(Struct):
    position: int


class _Logged(Struct):
    position: int
    recorded_at: datetime


class _Page(Struct):
    events: list[_Logged]
    head: int


_decode_standing = msgspec.json.Decoder(_Standing).decode
_decode_page = msgspec.json.Decoder(_Page).decode


class Watch:
    """Follows one slot while others sell it: `async with Watch(product, slot_id) as watch`. The figures are there when it has ended."""

    def __init__(self, product: Product, slot_id: str) -> None:
        self.figures: dict[str, float] = {}
        self.own_bookings = 0
        """How many were made here, to be read back."""
        self._product = product
        self._slot_id = slot_id
        self._stack = AsyncExitStack()
        self._over = asyncio.Event()
        self._own_ms = array("f")
        self._first = 0

    async def __aenter__(self) -> Self:
        """Begins to follow, and to read."""
        product = self._product
        self._client = await self._stack.enter_async_context(
            Client(product.url, headers=product.headers, timeout_s=15)
        )
        self._seen = await self._stack.enter_async_context(
            following(product.url, self._slot_id, product.headers)
        )
        self._first = await self._position()
        self._reading = asyncio.create_task(self._read_own(), name="own-reads")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Waits until the last booking was seen, and counts.

        Raises:
            CannotRunError: not every booking was seen.
        """
        self._over.set()
        async with self._stack:
            await self._reading
            if kind is not None:
                return
            last = await self._position()
            await self._until_seen(last)
            delays_ms = await self._delays_ms(after=self._first, last=last)
        if len(delays_ms) < last - self._first:
            raise CannotRunError(
                f"Of {last - self._first} events only {len(delays_ms)} have a moment at which they were visible."
            )
        self.figures = {
            P50: percentile(delays_ms, 50),
            P99: percentile(delays_ms, 99),
            "visible_max_ms": max(delays_ms, default=0.0),
            "own_read_p50_ms": percentile(self._own_ms, 50),
            "own_read_p99_ms": percentile(self._own_ms, 99),
        }

    async def _position(self) -> int:
        """Where the log stands, by a strong read."""
        answer = await self._client.request(
            "GET",
            f"/v1/slots/{self._slot_id}",
            headers=[("Cache-Control", "no-cache"), ("Prefer", "wait=10")],
        )
        if answer.status != 200:
            raise CannotRunError(f"A strong read was answered {answer.status}.")
        return _decode_standing(answer.body).position

    async def _read_own(self) -> None:
        """One client that books a unit and reads with the token it was given."""
        body = msgspec.json.encode(
            {
                "customer_id": CUSTOMER,
                "mode": "book",
                "lines": [{"slot_id": self._slot_id, "units": 1}],
            }
        )
        while not self._over.is_set():
            key = [("Idempotency-Key", f"own-{random.getrandbits(64):x}")]
            booked = await self._client.request("POST", "/v1/bookings", body=body, headers=key)
            token = (booked.header(b"consistency-token") or b"").decode()
            read = await self._client.request(
                "GET",
                f"/v1/slots/{self._slot_id}",
                headers=[("Consistency-Token", token), ("Prefer", "wait=5")],
            )
            if booked.status != 201 or read.status != 200:
                raise CannotRunError(
                    f"A booking was answered {booked.status}, its read {read.status}."
                )
            self.own_bookings += 1
            self._own_ms.append((read.return_ns - booked.return_ns) / 1e6)
            await asyncio.sleep(OWN_READS_EVERY_S)

    async def _until_seen(self, position: int) -> None:
        try:
            async with asyncio.timeout(SEEN_DEADLINE_S):
                await self._seen.reached(position)
        except TimeoutError:
            raise CannotRunError(f"The live stream never reached position {position}.") from None

    async def _delays_ms(self, *, after: int, last: int) -> "array[float]":
        """From recorded to visible, of every event between two positions."""
        delays_ms = array("f")
        while after < last:
            answer = await self._client.request("GET", f"/v1/events?after={after}&limit={PAGE}")
            page = _decode_page(answer.body)
            if not page.events:
                break
            delays_ms.extend(_delays_of(page.events, self._seen))
            after = page.events[-1].position
        return delays_ms


def _delays_of(events: list[_Logged], seen: Seen) -> list[float]:
    moments = ((seen.moment_s(event.position), event.recorded_at.timestamp()) for event in events)
    return [(moment_s - recorded_s) * 1000 for moment_s, recorded_s in moments if moment_s]
