"""Leaves somebody's deployment as it was: ends the bookings of an experiment and closes its slots.

Bookings cannot be deleted, and resources stay; that is the product's promise of an append-only log. What an experiment leaves behind are closed
slots without a live booking.
"""

import asyncio
from collections.abc import Iterable, Sequence

from loadtest.driver import Client, Exchange
from loadtest.failures import CannotRunError
from loadtest.history import LoggedEvent

LIVE = ("held", "confirmed")
AT_ONCE_MAX = 8
TRIES_MAX = 20
PAUSE_S = 0.5


async def give_back(client: Client, slot_ids: Sequence[str], events: Iterable[LoggedEvent]) -> None:
    """Cancels whatever lives on these slots by the log, and closes them.

    Raises:
        CannotRunError: the system refused; the sentence says how much is left.
    """
    ours = set(slot_ids)
    states: dict[str, str] = {}
    for event in events:
        if event.booking_id is None or event.data.state is None:
            continue
        if event.booking_id in states or any(slot.slot_id in ours for slot in event.slots):
            states[event.booking_id] = event.data.state
    paths = [f"/v1/bookings/{b}/cancel" for b, state in states.items() if state in LIVE]
    left = await _post_all(client, paths, ())
    left += await _post_all(
        client, [f"/v1/slots/{slot_id}/close" for slot_id in slot_ids], [("If-Match", "*")]
    )
    if left:
        raise CannotRunError(
            f"{len(left)} requests that give back what the experiment used were refused, the first: {left[0]}."
        )


async def _post_all(
    client: Client, paths: Sequence[str], headers: Sequence[tuple[str, str]]
) -> list[str]:
    """Posts to every path, a few at a time and patient with rate limits; returns those that failed. What has ended already is no failure."""
    turn = asyncio.Semaphore(AT_ONCE_MAX)

    async def post(path: str) -> Exchange:
        async with turn:
            exchange = await client.request("POST", path, headers=headers)
            for _ in range(TRIES_MAX):
                if exchange.status not in (0, 429, 503):
                    break
                await asyncio.sleep(PAUSE_S)
                exchange = await client.request("POST", path, headers=headers)
            return exchange

    exchanges = await asyncio.gather(*(post(path) for path in paths))
    return [
        f"{path} ({exchange.status})"
        for path, exchange in zip(paths, exchanges, strict=True)
        if exchange.outcome != "ok" and exchange.status != 409
    ]
