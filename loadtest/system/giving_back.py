"""Leaves somebody's deployment as it was: ends the bookings of an experiment and closes its slots.

Bookings cannot be deleted, and resources stay; that is the product's promise of an append-only log. What an experiment leaves behind are closed
slots without a live booking. The door lists say what lives, read strongly after the slots are closed, so that nothing is added any more.
"""

import asyncio
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from loadtest.driver import Client, Exchange
from loadtest.failures import CannotRunError

LIVE = ("held", "confirmed")
PAGE_MAX = 1000
AT_ONCE_MAX = 8
TRIES_MAX = 20
PAUSE_S = 0.5


class _Booking(Struct):
    booking_id: str


class _Bookings(Struct):
    bookings: list[_Booking]
    next_cursor: str | None = None


async def give_back(client: Client, slot_ids: Sequence[str]) -> None:
    """Closes these slots and cancels whatever still lives on them.

    Raises:
        CannotRunError: the system refused; the sentence says how much is left.
    """
    patient = _Patient(client)
    closed = [f"/v1/slots/{slot_id}/close" for slot_id in slot_ids]
    left = await patient.post_all(closed, [("If-Match", "*")])
    found = await asyncio.gather(
        *(patient.live(slot_id, state) for slot_id in slot_ids for state in LIVE)
    )
    ids = sorted({booking_id for of_slot in found for booking_id in of_slot})
    left += await patient.post_all([f"/v1/bookings/{each}/cancel" for each in ids], ())
    if left:
        raise CannotRunError(
            f"{len(left)} requests that give back what the experiment used were refused, the first: {left[0]}."
        )


class _Patient:
    """A few requests at a time, each tried again while the system is busy or limits the rate."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._turn = asyncio.Semaphore(AT_ONCE_MAX)

    async def ask(
        self, method: str, path: str, headers: Sequence[tuple[str, str]] = ()
    ) -> Exchange:
        async with self._turn:
            for _ in range(TRIES_MAX):
                exchange = await self._client.request(method, path, headers=headers)
                if exchange.status not in (0, 412, 429, 503):
                    break
                await asyncio.sleep(PAUSE_S)
            return exchange

    async def post_all(self, paths: Sequence[str], headers: Sequence[tuple[str, str]]) -> list[str]:
        """Posts to every path; returns those that failed. What has ended already is no failure."""
        exchanges = await asyncio.gather(*(self.ask("POST", path, headers) for path in paths))
        return [
            f"{path} ({exchange.status})"
            for path, exchange in zip(paths, exchanges, strict=True)
            if exchange.outcome != "ok" and exchange.status != 409
        ]

    async def live(self, slot_id: str, state: str) -> list[str]:
        """The bookings of a slot in that state, as of now.

        Raises:
            CannotRunError: they cannot be read.
        """
        ids: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            path = f"/v1/bookings?slot_id={slot_id}&state={state}&limit={PAGE_MAX}"
            path += f"&cursor={cursor}" if cursor else ""
            exchange = await self.ask("GET", path, [("Cache-Control", "no-cache")])
            if exchange.outcome != "ok":
                raise CannotRunError(
                    f"The bookings of slot {slot_id} cannot be read ({exchange.status}), so they are not given back."
                )
            page = msgspec.json.decode(exchange.body, type=_Bookings)
            ids += [booking.booking_id for booking in page.bookings]
            cursor = page.next_cursor
        return ids
