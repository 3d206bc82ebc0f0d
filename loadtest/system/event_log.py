"""The log as the system publishes it (`/v1/events`): what a run is judged by, kept beside its history."""

from pathlib import Path

import msgspec
from msgspec import Raw, Struct

from loadtest.driver import Client
from loadtest.failures import CannotRunError

PAGE_EVENTS = 1000


class _Page(Struct):
    events: list[Raw]
    head: int


class _Event(Struct):
    position: int


_decode_page = msgspec.json.Decoder(_Page).decode
_decode_event = msgspec.json.Decoder(_Event).decode


async def read_log(client: Client, *, after: int, dump: Path) -> int:
    """Appends every event after a position to `dump`, as it came; the position reached.

    Raises:
        CannotRunError: the log cannot be read.
    """
    with dump.open("ab") as file:
        while True:
            exchange = await client.request("GET", f"/v1/events?after={after}&limit={PAGE_EVENTS}")
            if exchange.outcome != "ok":
                said = exchange.body.decode(errors="replace") or "no answer"
                raise CannotRunError(f"The event log cannot be read ({exchange.status}): {said}")
            page = _decode_page(exchange.body)
            if not page.events:
                return after
            file.writelines(bytes(event) + b"\n" for event in page.events)
            after = _decode_event(page.events[-1]).position
            if after >= page.head:
                return after
