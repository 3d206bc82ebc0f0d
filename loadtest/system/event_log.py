"""The log as the system publishes it (`/v1/events`): what a run is judged by, kept beside its history."""

from pathlib import Path

import msgspec
from msgspec import Raw, Struct

from loadtest.driver import Client
from loadtest.failures import CannotRunError
from loadtest.history import LoggedEvent

PAGE_EVENTS = 1000


class _Page(Struct):
    events: list[Raw]
    head: int


_decode_page = msgspec.json.Decoder(_Page).decode
_decode_event = msgspec.json.Decoder(LoggedEvent).decode


async def read_log(client: Client, *, after: int, dump: Path) -> tuple[list[LoggedEvent], int]:
    """Every event after a position, and the position reached; the events are appended to `dump` as they came.

    Raises:
        CannotRunError: the log cannot be read.
    """
    events: list[LoggedEvent] = []
    with dump.open("ab") as file:
        while True:
            exchange = await client.request("GET", f"/v1/events?after={after}&limit={PAGE_EVENTS}")
            if exchange.outcome != "ok":
                said = exchange.body.decode(errors="replace") or "no answer"
                raise CannotRunError(f"The event log cannot be read ({exchange.status}): {said}")
            page = _decode_page(exchange.body)
            file.writelines(bytes(event) + b"\n" for event in page.events)
            events.extend(map(_decode_event, page.events))
            if not page.events:
                return events, after
            after = events[-1].position
            if after >= page.head:
                return events, after
