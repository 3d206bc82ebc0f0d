"""A sold-out slot and the people who want a unit of it, while holds are released one after the other.

Everybody opens a page, keeps it for a while and then decides: by that page, or by asking once more. Who is told "sold out" goes away, and that
is noted; who is shown a unit tries to hold it.
"""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from loadtest.driver import open_loop, poisson
from loadtest.driver.event_stream import events
from loadtest.evidence.sent_away import Leaving
from loadtest.experiment.laboratory import Laboratory, Recorder
from loadtest.history import Operation
from loadtest.system import System
from loadtest.workloads.meanwhile import meanwhile
from loadtest.workloads.person import Person

Way = Literal["believes the page", "asks with max-age=1", "reads strongly", "follows the stream"]
BY_THE_PAGE: Way = "believes the page"
MAX_AGE: Way = "asks with max-age=1"
STRONG: Way = "reads strongly"
STREAM: Way = "follows the stream"
HOARDED = 10
HOARDER = -1
WAIT_MAX_S = 5
STREAM_DEAD_S = 3.0
"""Who has not heard of the stream for so long knows nothing any more."""
PAUSE_MS = 400
"""Between the last moment at which a page can show the last release, and the next one."""


class _Shown(Struct, frozen=True, kw_only=True):
    """What somebody decides by."""

    remaining: int
    version: int
    at_ns: int
    shown_ns: int


class Hall:
    """One sold-out slot, its hoarder, and the people who want a unit of it."""

    def __init__(
        self,
        system: System,
        record: Recorder,
        lab: Laboratory,
        slot_id: str,
        *,
        way: Way,
        age_ms: int,
        view_lag_ms: int,
        people_per_s: float,
        seconds: float,
    ) -> None:
        """What people believe is `age_ms` old, of which the view's own lag is a part."""
        self._system, self._record, self._lab = system, record, lab
        self._people_per_s, self._seconds = people_per_s, seconds
        self._slot_id, self._way, self._age_ms = slot_id, way, age_ms
        self._page_s = (age_ms - view_lag_ms) / 1000
        self._display = _Display()
        self._leavings: list[Leaving] = []
        self._not_told = 0

    async def open(self) -> None:
        """Sells everything to the hoarder, lets people come, and releases one hold after the other."""
        async with self._system.client() as client, contextlib.AsyncExitStack() as beside:

            async def visit(number: int, intended_ns: int) -> None:
                rng = self._lab.rng("person", self._way, self._age_ms, number)
                await self._visit(Person(client, self._record, number, rng), intended_ns)

            # Keys are made of it, and all halls of an arm share one system.
            rng = self._lab.rng("hoarder", self._way, self._age_ms)
            hoarder = Person(client, self._record, HOARDER, rng)
            holds = [await hoarder.hold(self._slot_id) for _ in range(HOARDED)]
            await hoarder.look(self._slot_id, token=holds[-1].token_out, wait_s=WAIT_MAX_S)
            if self._way == STREAM:
                await beside.enter_async_context(
                    meanwhile(self._display.follow(self._system, self._slot_id))
                )
            await beside.enter_async_context(meanwhile(self._release(hoarder, holds)))
            people = poisson(self._people_per_s, self._lab.rng("people", self._age_ms))
            self._record.offered(await open_loop(people, visit, seconds=self._seconds))
        self._record.note(leavings=msgspec.to_builtins(self._leavings), not_told=self._not_told)

    async def _release(self, hoarder: Person, holds: Sequence[Operation]) -> None:
        """One at a time, each only when no page can still show the last one; the first when people decide at all."""
        began_s, age_s = time.monotonic(), self._age_ms / 1000
        for number, hold in enumerate(holds):
            at_s = age_s + number * (2 * age_s + PAUSE_MS / 1000)
            # What it hides and what it conjures up afterwards must both fall into the trial.
            if hold.booking_id is None or at_s + 2 * age_s > self._seconds:
                return
            await asyncio.sleep(max(0.0, began_s + at_s - time.monotonic()))
            await hoarder.change("release", hold.booking_id)

    async def _visit(self, person: Person, intended_ns: int) -> None:
        """Opens the page, keeps it for a while, decides: by the page, or by a better answer."""
        page = await person.look(self._slot_id, intended_ns=intended_ns)
        await asyncio.sleep(max(0.0, intended_ns / 1e9 + self._page_s - time.monotonic()))
        shown = await self._ask(person, page)
        if shown is None:
            self._not_told += 1
        elif shown.remaining:
            await person.hold(self._slot_id)
        else:
            self._leavings.append(
                Leaving(
                    journey=person.journey,
                    at_ns=shown.at_ns,
                    version=shown.version,
                    shown_ns=shown.shown_ns,
                )
            )

    async def _ask(self, person: Person, page: Operation) -> _Shown | None:
        """What this person decides by; None when they were told that it cannot be said."""
        if self._way == BY_THE_PAGE:
            return _shown(page, at_ns=time.monotonic_ns())
        if self._way == STREAM:
            return self._display.now()
        asked = (
            await person.look(self._slot_id, max_age_s=1, wait_s=1)
            if self._way == MAX_AGE
            else await person.look(self._slot_id, strong=True, wait_s=WAIT_MAX_S)
        )
        # The promise is made for the moment of the question.
        return _shown(asked, at_ns=asked.invoke_ns)


def _shown(look: Operation, *, at_ns: int) -> _Shown | None:
    if look.status != 200 or look.remaining is None or look.version is None:
        return None
    middle_ns = (look.invoke_ns + look.return_ns) // 2
    return _Shown(
        remaining=look.remaining, version=look.version, at_ns=at_ns, shown_ns=min(at_ns, middle_ns)
    )


class _Slot(Struct):
    remaining: int
    version: int


class _Slots(Struct):
    slots: list[_Slot] = []


class _Display:
    """A screen that follows the live stream, for everybody in front of it."""

    def __init__(self) -> None:
        self._slot: _Slot | None = None
        self._changed_ns = self._heard_ns = 0

    async def follow(self, system: System, slot_id: str) -> None:
        """Keeps it up to date until cancelled."""
        path = f"/v1/availability/stream?slot_id={slot_id}"
        async for event in events(system.url, path, headers=system.authorization):
            self._heard_ns = time.monotonic_ns()
            if event.event in ("snapshot", "changes"):
                for slot in msgspec.json.decode(event.data, type=_Slots).slots:
                    self._slot, self._changed_ns = slot, self._heard_ns

    def now(self) -> _Shown | None:
        """What it shows; None when it has not heard anything for too long to show anything."""
        now_ns = time.monotonic_ns()
        if self._slot is None or now_ns - self._heard_ns > STREAM_DEAD_S * 1e9:
            return None
        return _Shown(
            remaining=self._slot.remaining,
            version=self._slot.version,
            at_ns=now_ns,
            shown_ns=self._changed_ns,
        )
