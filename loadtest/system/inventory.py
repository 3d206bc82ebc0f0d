"""What an experiment needs beforehand: a resource with slots, made through the API and visible to the queries before anybody looks."""

import asyncio
import time
import uuid
from collections.abc import Sequence
from random import Random

import msgspec
from msgspec import Struct

from loadtest.driver import Client, Exchange
from loadtest.failures import CannotRunError
from loadtest.history import FinalSlot

POLL_EVERY_S = 0.02
SHOWN_DEADLINE_S = 10.0
SLOTS_PER_REQUEST_MAX = 1000
FORBIDDEN = 403
KEY_WANTED = (
    "give a key with the scopes inventory:write, bookings:write, read and operate in LOADTEST_KEY"
)


class _Slot(Struct):
    slot_id: str


class _Slots(Struct):
    slots: list[_Slot]


class _Resource(Struct):
    resource_id: str


class Dice(Random):
    """Randomness of people at somebody's deployment: the same seed gives the same decisions, and every `visit` ids and keys of its own.

    A deployment remembers ids and keys: who came again with the old ones would be told what was answered then.
    """

    visit = 0

    def another(self) -> "Dice":
        """Dice of one's own, for somebody of the same visit."""
        return dice(self.getrandbits(64), visit=self.visit)


def dice(seed: int | str, *, visit: int = 0) -> Dice:
    """Dice that the same seed throws again; `visit` 0 has the same ids, too."""
    made = Dice(seed)
    made.visit = visit
    return made


def seeded_id(rng: Random) -> str:
    """A UUID that the same seed makes again, within the same visit."""
    visit = rng.visit if isinstance(rng, Dice) else 0
    return str(uuid.UUID(int=rng.getrandbits(128) ^ visit, version=4))


class Opened(Struct, frozen=True, kw_only=True):
    """What was made for an experiment."""

    resource_id: str
    slot_ids: list[str]


async def open_resource(
    client: Client,
    *,
    capacities: Sequence[int],
    rng: Random,
    shown: bool = True,
) -> Opened:
    """Makes one resource with a slot per capacity and waits until the queries know them, unless they need not be `shown`.

    Raises:
        CannotRunError: the system refused, or does not show what it accepted.
    """
    resource = await client.request(
        "POST",
        "/v1/resources",
        body=msgspec.json.encode({"name": "Hall", "time_zone": "Europe/Amsterdam"}),
        headers=[("Idempotency-Key", seeded_id(rng))],
    )
    resource_id = msgspec.json.decode(_accepted(resource).body, type=_Resource).resource_id
    slots = [
        {
            "slot_id": seeded_id(rng),
            "starts_at": "2190-01-01T19:00:00Z",
            "ends_at": "2190-01-01T22:00:00Z",
            "capacity": capacity,
        }
        for capacity in capacities
    ]
    ids: list[str] = []
    token = ""
    for first in range(0, len(slots), SLOTS_PER_REQUEST_MAX):
        opened = await client.request(
            "POST",
            f"/v1/resources/{resource_id}/slots",
            body=msgspec.json.encode({"slots": slots[first : first + SLOTS_PER_REQUEST_MAX]}),
            headers=[("Idempotency-Key", seeded_id(rng))],
        )
        ids += [s.slot_id for s in msgspec.json.decode(_accepted(opened).body, type=_Slots).slots]
        token = (opened.header(b"consistency-token") or b"").decode()
    if ids and shown:
        await until_shown(client, ids[-1], token)
    return Opened(resource_id=resource_id, slot_ids=ids)


async def until_shown(client: Client, slot_id: str, token: str) -> None:
    """Waits until the queries have come as far as a token says, and asks again where they do not keep that promise: it is not under test yet.

    Raises:
        CannotRunError: they do not show the slot within ten seconds.
    """
    headers = [("Consistency-Token", token), ("Prefer", "wait=10")]
    ends_s = time.monotonic() + SHOWN_DEADLINE_S
    while True:
        shown = await client.request("GET", f"/v1/slots/{slot_id}", headers=headers)
        if shown.outcome == "ok" or time.monotonic() > ends_s:
            _accepted(shown)
            return
        await asyncio.sleep(POLL_EVERY_S)


async def until_not_older(
    client: Client, slot_id: str, *, age_max_ms: float, deadline_s: float
) -> None:
    """Waits until the view is as fresh as it gets: just started, a late view is at first later than it is meant to be.

    Gives up quietly after `deadline_s`: how old the view was is measured anyway, at every look.
    """
    deadline_at_s = time.monotonic() + deadline_s
    while time.monotonic() < deadline_at_s:
        exchange = _accepted(await client.request("GET", f"/v1/slots/{slot_id}"))
        age_ms = timing_ms(exchange.header(b"server-timing") or b"", b"lag")
        if age_ms is not None and age_ms <= age_max_ms:
            return
        await asyncio.sleep(POLL_EVERY_S)


def timing_ms(header: bytes, metric: bytes) -> float | None:
    """One duration of a Server-Timing header such as `lag;dur=12.3, wait;dur=0.4`."""
    for part in header.split(b","):
        name, _, duration = part.strip().partition(b";dur=")
        if name == metric:
            return float(duration)
    return None


async def at_rest(client: Client, slot_id: str) -> FinalSlot:
    """The slot by a strong read: everything that was in the log when asked is in this answer.

    Raises:
        CannotRunError: it could not be had.
    """
    exchange = await client.request(
        "GET",
        f"/v1/slots/{slot_id}",
        headers=[("Cache-Control", "no-cache"), ("Prefer", "wait=10")],
    )
    return msgspec.json.decode(_accepted(exchange).body, type=FinalSlot)


def _accepted(exchange: Exchange) -> Exchange:
    if exchange.status == FORBIDDEN:
        raise CannotRunError(f"The key may not set up an experiment (403): {KEY_WANTED}.")
    if exchange.outcome != "ok":
        said = exchange.body.decode(errors="replace") or "no answer"
        raise CannotRunError(f"The system refused to be set up ({exchange.status}): {said}")
    return exchange
