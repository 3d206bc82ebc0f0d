"""The product's turn: one hot slot sold through HTTP, closed loop, as fast as the answers come back.

Every request is a complete one: a customer of its own, an idempotency key of its own, a booking with an event and a position. The generator
only fills in two numbers per request, because it shares the cores with what it measures, and says how much CPU it took nevertheless.
"""

import os
import time
import uuid
from pathlib import Path

import msgspec
from msgspec import Struct

from loadtest.bench.figures import SaleRound
from loadtest.driver import Client, RequestWriter, closed_loop
from loadtest.failures import CannotRunError

CAPACITY = 1_000_000
"""The largest a slot may have; a bench sells some hundred thousand."""

SCATTER = 0x9E37_79B9_7F4B
"""An odd number: multiples of it, cut to 48 bits, are all different and in no order."""


class _Resource(Struct):
    resource_id: str


class HotSlot:
    """The slot everybody wants, on the API at `url`; `slot_id` is there once `open` has returned."""

    def __init__(self, url: str, *, api_pid: int) -> None:
        self._url = url
        self._api_pid = api_pid
        self.slot_id = str(uuid.uuid4())

    async def open(self) -> None:
        """Makes a resource with this one slot.

        Raises:
            CannotRunError: the API refused.
        """
        async with Client(self._url, connections_max=1) as client:
            hall = {"name": "Hall", "time_zone": "Europe/Amsterdam"}
            made = await _post(client, "/v1/resources", hall)
            resource_id = msgspec.json.decode(made, type=_Resource).resource_id
            slot = {
                "slot_id": self.slot_id,
                "starts_at": "2190-01-01T19:00:00Z",
                "ends_at": "2190-01-01T22:00:00Z",
                "capacity": CAPACITY,
            }
            await _post(client, f"/v1/resources/{resource_id}/slots", {"slots": [slot]})

    async def sell(self, *, connections: int, seconds: float) -> SaleRound:
        """Sells single units for `seconds` over `connections`, each with one request at a time."""
        shape = self._shape()
        own_cpu_s = time.process_time()
        api_cpu_s = cpu_s(self._api_pid)
        totals = await closed_loop(
            self._url,
            connections=connections,
            seconds=seconds,
            next_request=lambda number: shape % (number * SCATTER & 0xFFFF_FFFF_FFFF, number),
        )
        own_cpu_s = time.process_time() - own_cpu_s
        api_cpu_after_s = cpu_s(self._api_pid)
        answers = max(1, totals.statuses.total())
        return SaleRound(
            connections=connections,
            statuses=dict(totals.statuses),
            unanswered=totals.unanswered,
            per_second=totals.per_second,
            p50_ms=totals.percentile_ms(50),
            p99_ms=totals.percentile_ms(99),
            generator_cpu_us=own_cpu_s / answers * 1e6,
            api_cpu_us=(
                None
                if api_cpu_s is None or api_cpu_after_s is None
                else (api_cpu_after_s - api_cpu_s) / answers * 1e6
            ),
        )

    def _shape(self) -> bytes:
        """The bytes of a booking with two blanks: the key, scattered as clients' random keys are, and the customer's id. All have one length."""
        blank = "%012x"
        some_id = str(uuid.uuid4())
        shape = (
            f'{{"customer_id":"{some_id[:-12]}{blank}","mode":"book",'
            f'"lines":[{{"slot_id":"{self.slot_id}","units":1}}]}}'
        )
        filled = shape.replace(blank, "0" * 12).encode()
        key = ("Idempotency-Key", f"{blank}-{uuid.uuid4()}")
        # The writer counts the body's bytes, so it is given a body of the final length.
        head = RequestWriter(self._url)("POST", "/v1/bookings", filled, [key])
        return head.removesuffix(filled) + shape.encode()


def cpu_s(pid: int) -> float | None:
    """CPU seconds a process has used so far, all its threads together; None where there is no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    user, system = int(fields[11]), int(fields[12])
    return (user + system) / os.sysconf("SC_CLK_TCK")


async def _post(client: Client, path: str, body: object) -> bytes:
    key = [("Idempotency-Key", str(uuid.uuid4()))]
    exchange = await client.request("POST", path, body=msgspec.json.encode(body), headers=key)
    if exchange.status != 201:
        said = exchange.body.decode(errors="replace") or "no answer"
        raise CannotRunError(f"POST {path} was refused ({exchange.status}): {said}")
    return exchange.body
