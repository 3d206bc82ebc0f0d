"""Scenario 1, oversell: the last units of a popular slot, sold to people who look at a view that is late.

Claim: however stale the view people decide by, no unit is sold twice, because the write itself is conditional. Fault: the projector's view is
held back by S. Control arm: the guard off (check the view, then write unconditionally) and the database's last line of defence removed; it must
oversell, by λ·E[D] as theory says. Guarded arm: nothing oversold; the same number of buyers is refused instead.
"""

import platform
import shutil
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from os import cpu_count
from pathlib import Path
from random import Random
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from loadtest.checkers.no_overbooking import no_overbooking
from loadtest.driver import Client, Offered
from loadtest.event_log import read_log
from loadtest.findings import Arm, Findings, Plan, Row
from loadtest.history import FILE, FinalSlot, LoggedEvent, append
from loadtest.inventory import at_rest, open_slots, until_not_older
from loadtest.measurement import Generator, MeasuredSale, measure, summarise
from loadtest.sale import Buyers, Sale
from loadtest.system_under_test import booking_up

NAME = "oversell"
CLAIM = "However stale the view people decide by, no unit is sold twice."

FULL = Plan(lags_ms=[0, 50, 200, 1000], sales=2)
QUICK = Plan(lags_ms=[0, 200], sales=1)

GUARDS: dict[Arm, dict[str, str]] = {
    "unguarded": {"BOOKING_GUARD": "unguarded"},
    "guarded": {},
}
ARMS: list[Arm] = ["unguarded", "guarded"]

# People before the sale that is measured, on a slot nobody judges: first requests pay for connections and statements.
WARM_UP_BUYERS_PER_S = 200.0
WARM_UP_S = 0.3
WARM_UP_CAPACITY = 10_000
# Longer than any sale takes, should nobody ever be shown that it is sold out.
SALE_MARGIN_S = 5.0
REQUEST_TIMEOUT_S = 15.0
# So many that nobody waits for a connection while the system keeps up at all: buyers do not queue for each other.
CONNECTIONS_MAX = 256
# How much older than S the view may be when nothing happens: heartbeats come every 100 ms.
IDLE_AGE_MS = 250
WITNESSES_KEPT_MAX = 5


class Progress(Protocol):
    """Who is told how far it is."""

    def step(self, text: str) -> None:
        """Something begins."""

    def row(self, row: Row) -> None:
        """One arm at one staleness is done."""


class _Inventory(Struct, frozen=True, kw_only=True):
    warm_up_slot: str
    slots: dict[int, list[str]]


class _Sold(Struct, frozen=True, kw_only=True):
    slot_id: str
    buyers: Buyers
    offered: Offered


class Oversell:
    """One run: `run` measures, `findings` says what was found so far, also after an interruption."""

    def __init__(
        self, plan: Plan, *, seed: int, out: Path, reproduce: str, progress: Progress
    ) -> None:
        self._plan = plan
        self._seed = seed
        self._out = out
        self._reproduce = reproduce
        self._progress = progress
        self._rows: list[Row] = []
        self._started_at = datetime.now(UTC)
        self._began_s = time.monotonic()
        self._first_request_s: float | None = None
        self._complete = False

    async def run(self) -> None:
        """Both arms, each on a throw-away system of its own that is started again for every staleness.

        Raises:
            CannotRunError: the system does not start or refuses to be set up.
        """
        directory = Path(tempfile.mkdtemp(prefix="loadtest-"))
        try:
            for arm in ARMS:
                await self._run_arm(arm, directory / arm)
            self._complete = True
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def findings(self) -> Findings:
        """What is known by now."""
        return Findings(
            scenario=NAME,
            claim=CLAIM,
            seed=self._seed,
            started_at=self._started_at,
            seconds=time.monotonic() - self._began_s,
            first_request_s=self._first_request_s,
            complete=self._complete,
            reproduce=self._reproduce,
            environment={
                "version": version("eventual-booking"),
                "python": platform.python_version(),
                "platform": platform.platform(),
                "processor": f"{platform.machine()}, {cpu_count()} cores",
            },
            plan=self._plan,
            rows=self._rows,
        )

    async def _run_arm(self, arm: Arm, data_dir: Path) -> None:
        inventory: _Inventory | None = None
        events: list[LoggedEvent] = []
        position = 0
        for lag_ms in self._plan.lags_ms:
            guard = "off" if arm == "unguarded" else "on"
            self._progress.step(f"guard {guard}, S = {lag_ms} ms: starting the system")
            async with (
                booking_up(
                    data_dir,
                    settings=GUARDS[arm] | {"PROJECTOR_INJECTED_LAG_MS": str(lag_ms)},
                    log_file=self._out / f"system-{arm}.log",
                ) as url,
                Client(url, connections_max=CONNECTIONS_MAX, timeout_s=REQUEST_TIMEOUT_S) as client,
            ):
                if self._first_request_s is None:
                    self._first_request_s = time.monotonic() - self._began_s
                inventory = inventory or await self._open(client)
                await self._warm_up(client, arm, inventory.warm_up_slot)
                await until_not_older(
                    client,
                    inventory.slots[lag_ms][0],
                    age_max_ms=lag_ms + IDLE_AGE_MS,
                    deadline_s=lag_ms / 1000 + SALE_MARGIN_S,
                )
                sold: list[_Sold] = []
                for number, slot_id in enumerate(inventory.slots[lag_ms], start=1):
                    self._progress.step(
                        f"guard {guard}, S = {lag_ms} ms: sale {number} of {self._plan.sales}"
                    )
                    sold.append(await self._sell(client, arm, lag_ms, number, slot_id))
                finals = [await at_rest(client, sale.slot_id) for sale in sold]
                more, position = await read_log(
                    client, after=position, dump=self._out / f"events-{arm}.jsonl"
                )
                events += more
            measured = [
                self._judge(sale, events, final) for sale, final in zip(sold, finals, strict=True)
            ]
            row = summarise(arm, lag_ms, self._plan, measured)
            self._rows.append(row)
            self._progress.row(row)

    async def _open(self, client: Client) -> _Inventory:
        """All slots of an arm at once, so that later starts find them already in the view."""
        plan = self._plan
        count = len(plan.lags_ms) * plan.sales
        ids = await open_slots(
            client,
            capacities=[WARM_UP_CAPACITY, *[plan.capacity] * count],
            rng=Random(f"{self._seed} slots"),
        )
        slots = {
            lag_ms: ids[1 + plan.sales * n : 1 + plan.sales * (n + 1)]
            for n, lag_ms in enumerate(plan.lags_ms)
        }
        return _Inventory(warm_up_slot=ids[0], slots=slots)

    async def _warm_up(self, client: Client, arm: Arm, slot_id: str) -> None:
        sale = self._sale(arm, slot_id, buyers_per_s=WARM_UP_BUYERS_PER_S, seconds_max=WARM_UP_S)
        # Every start warms up on the same slot, so its people must be others each time.
        await Buyers(client, sale, Random(f"{self._seed} warm up {len(self._rows)}")).come()

    async def _sell(
        self, client: Client, arm: Arm, lag_ms: int, number: int, slot_id: str
    ) -> _Sold:
        plan = self._plan
        seconds_max = plan.capacity / plan.buyers_per_s + lag_ms / 1000 + SALE_MARGIN_S
        sale = self._sale(arm, slot_id, buyers_per_s=plan.buyers_per_s, seconds_max=seconds_max)
        # The same people in both arms: the seed does not know the arm.
        buyers = Buyers(client, sale, Random(f"{self._seed} {lag_ms} {number}"))
        try:
            offered = await buyers.come()
        finally:
            append(self._out / FILE, buyers.operations)
        return _Sold(slot_id=slot_id, buyers=buyers, offered=offered)

    def _sale(self, arm: Arm, slot_id: str, *, buyers_per_s: float, seconds_max: float) -> Sale:
        return Sale(
            run=str(self._seed),
            arm=arm,
            slot_id=slot_id,
            buyers_per_s=buyers_per_s,
            think_ms=self._plan.think_ms,
            seconds_max=seconds_max,
        )

    def _judge(self, sale: _Sold, events: list[LoggedEvent], final: FinalSlot) -> MeasuredSale:
        operations = sale.buyers.operations
        judgement = no_overbooking(events, operations, final)
        if judgement.verdict == "valid" and not judgement.opportunities:
            reason = "nobody asked for more than was left, so nothing was proved"
            judgement = replace(judgement, verdict="unknown", reason=reason)
        return measure(
            sale.slot_id,
            capacity=self._plan.capacity,
            operations=operations,
            events=events,
            judgement=replace(judgement, witnesses=judgement.witnesses[:WITNESSES_KEPT_MAX]),
            generator=Generator(
                offered=sale.offered.count,
                late_p99_ms=sale.offered.percentile_ms(99),
                dropped=sale.offered.dropped,
            ),
        )
