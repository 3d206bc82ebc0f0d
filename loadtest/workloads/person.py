"""One person at the API (a *journey*): each method is one request, and what was asked and answered becomes one operation of the history.

People do not retry, wait or decide by themselves: that is what scenarios are about. `last` is the answer as it came, for whoever wants more of
it than an operation tells.
"""

import time
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from random import Random
from typing import Any

import msgspec

from loadtest.driver import Client, Exchange
from loadtest.experiment.laboratory import Recorder
from loadtest.history import Operation, OperationLine
from loadtest.system.inventory import seeded_id
from loadtest.workloads.answers import Headers, conditions, told_of

_encode = msgspec.json.Encoder().encode


class Person:
    """Somebody with a number, an id and randomness of their own; what they do is noted in a trial's record."""

    def __init__(
        self,
        client: Client,
        record: Recorder,
        journey: int,
        rng: Random,
        *,
        node: str | None = None,
        digests: bool = False,
    ) -> None:
        self.journey = journey
        self.customer_id = seeded_id(rng)
        self.last: Exchange | None = None
        self._client = client
        self._record = record
        self._rng = rng
        self._node = node
        self._digests = digests

    def new_key(self) -> str:
        """An Idempotency-Key (or an id), of this person's randomness."""
        return seeded_id(self._rng)

    async def look(
        self,
        slot_id: str,
        *,
        token: str | None = None,
        max_age_s: int | None = None,
        strong: bool = False,
        wait_s: int | None = None,
        units: int = 1,
        intended_ns: int | None = None,
        client: Client | None = None,
        node: str | None = None,
    ) -> Operation:
        """Reads a slot. `token`: not older than that; `max_age_s`: not older than so many seconds; `strong`: as the log is now."""
        headers, condition = conditions(
            token=token, max_age_s=max_age_s, strong=strong, wait_s=wait_s
        )
        return await self.do(
            "look",
            "GET",
            f"/v1/slots/{slot_id}",
            headers=headers,
            intended_ns=intended_ns,
            client=client,
            node=node,
            slot_id=slot_id,
            units=units,
            token_in=token,
            condition=condition,
        )

    async def read_booking(
        self,
        booking_id: str,
        *,
        token: str | None = None,
        wait_s: int | None = None,
        intended_ns: int | None = None,
        client: Client | None = None,
        node: str | None = None,
    ) -> Operation:
        """Reads a booking; a 404 is an operation like any other, with its position."""
        headers, condition = conditions(token=token, wait_s=wait_s)
        return await self.do(
            "read_booking",
            "GET",
            f"/v1/bookings/{booking_id}",
            headers=headers,
            intended_ns=intended_ns,
            client=client,
            node=node,
            booking_id=booking_id,
            token_in=token,
            condition=condition,
        )

    async def book(
        self,
        slots: str | Sequence[tuple[str, int]],
        units: int = 1,
        *,
        mode: str = "book",
        key: str | None = None,
        based_on: str | None = None,
        hold_seconds: int | None = None,
        booking_id: str | None = None,
        intent: str | None = None,
        intended_ns: int | None = None,
        client: Client | None = None,
    ) -> Operation:
        """Books one slot, or several as (slot_id, units) pairs. `mode="hold"` places a hold. A key is made when none is given."""
        lines = [(slots, units)] if isinstance(slots, str) else list(slots)
        key = key or self.new_key()
        body: dict[str, Any] = {
            "customer_id": self.customer_id,
            "mode": mode,
            "lines": [{"slot_id": slot_id, "units": n} for slot_id, n in lines],
        }
        if booking_id is not None:
            body["booking_id"] = booking_id
        if hold_seconds is not None:
            body["hold_seconds"] = hold_seconds
        headers: Headers = [("Idempotency-Key", key)]
        if based_on is not None:
            headers.append(("Based-On", based_on))
        single = lines[0][0] if len(lines) == 1 else None
        return await self.do(
            "hold" if mode == "hold" else "book",
            "POST",
            "/v1/bookings",
            body=body,
            headers=headers,
            intended_ns=intended_ns,
            client=client,
            key=key,
            slot_id=single,
            units=sum(n for _, n in lines),
            lines=[] if single else [OperationLine(slot_id=s, units=n) for s, n in lines],
            customer_id=self.customer_id,
            based_on=based_on,
            booking_id=booking_id,
            intent=intent,
        )

    async def hold(
        self, slots: str | Sequence[tuple[str, int]], units: int = 1, **more: Any
    ) -> Operation:
        """Places a hold; takes what `book` takes."""
        return await self.book(slots, units, mode="hold", **more)

    async def change(
        self,
        op: str,
        booking_id: str,
        *,
        key: str | None = None,
        body: Mapping[str, Any] | None = None,
        if_match: int | None = None,
        intended_ns: int | None = None,
        client: Client | None = None,
    ) -> Operation:
        """What happens to a booking: `op` is confirm, release, cancel, extend, reschedule or transfer (the last three with their body).

        A key is sent so that the log tells whose event it was; it is made when none is given.
        """
        key = key or self.new_key()
        headers: Headers = [("Idempotency-Key", key)]
        if if_match is not None:
            headers.append(("If-Match", f'"{if_match}"'))
        return await self.do(
            op,
            "POST",
            f"/v1/bookings/{booking_id}/{op}",
            body=dict(body) if body is not None else None,
            headers=headers,
            intended_ns=intended_ns,
            client=client,
            booking_id=booking_id,
            key=key,
            if_match=if_match,
        )

    async def resize(
        self,
        slot_id: str,
        capacity: int,
        *,
        if_match: int | None = None,
        any_version: bool = False,
        key: str | None = None,
        intended_ns: int | None = None,
    ) -> Operation:
        """Changes a slot's capacity; `any_version` sends `If-Match: *`, which is no precondition at all."""
        key = key or self.new_key()
        headers: Headers = [("Idempotency-Key", key)]
        if any_version:
            headers.append(("If-Match", "*"))
        elif if_match is not None:
            headers.append(("If-Match", f'"{if_match}"'))
        return await self.do(
            "resize",
            "POST",
            f"/v1/slots/{slot_id}/resize",
            body={"capacity": capacity},
            headers=headers,
            intended_ns=intended_ns,
            slot_id=slot_id,
            key=key,
            if_match=if_match,
        )

    async def do(
        self,
        op: str,
        method: str,
        path: str,
        *,
        body: Any = None,
        headers: Headers | None = None,
        intended_ns: int | None = None,
        client: Client | None = None,
        node: str | None = None,
        **known: Any,
    ) -> Operation:
        """Any request; `known` are members of the operation that the answer does not tell. Latency counts from `intended_ns`, default now."""
        intended_ns = time.monotonic_ns() if intended_ns is None else intended_ns
        exchange = await (client or self._client).request(
            method, path, body=b"" if body is None else _encode(body), headers=headers or ()
        )
        self.last = exchange
        operation = self._operation(op, intended_ns, exchange, node or self._node, known)
        self._record.operations.append(operation)
        return operation

    def _operation(
        self,
        op: str,
        intended_ns: int,
        exchange: Exchange,
        node: str | None,
        known: dict[str, Any],
    ) -> Operation:
        told = told_of(op, exchange, asked=known.get("lines") or [])
        if self._digests and exchange.body:
            told["digest"] = blake2b(exchange.body, digest_size=8).hexdigest()
        asked = {name: value for name, value in known.items() if value is not None}
        members = asked | told
        if "units" in asked:  # what was asked for counts, not what the answer says was asked for
            members["units"] = asked["units"]
        return Operation(
            run=self._record.name,
            arm=self._record.arm,
            journey=self.journey,
            op=op,
            intended_ns=intended_ns,
            invoke_ns=exchange.invoke_ns,
            return_ns=exchange.return_ns,
            outcome=exchange.outcome,
            status=exchange.status,
            node=node,
            **members,
        )
