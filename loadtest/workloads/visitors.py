"""Mixed traffic as a ticket shop has it: people browse, look, hold, pay, change their minds, or just go away.

Popularity is Zipf's: the k-th slot is wanted in proportion to 1/k. Each visitor carries the token of their last answer, as a careful client
would, so that what they are promised can be judged.
"""

import asyncio
import time
from itertools import accumulate
from random import Random

from msgspec import Struct

from loadtest.driver import Client
from loadtest.experiment.laboratory import Recorder
from loadtest.history import Operation
from loadtest.system.inventory import Dice, Opened
from loadtest.workloads.person import Person

# All slots of an experiment begin on this day.
DAY = "from=2190-01-01T00:00:00Z&to=2190-01-02T00:00:00Z"
TOKEN_WAIT_S = 5


class Habits(Struct, frozen=True, kw_only=True):
    """What share of people does what; the rest of those who hold confirms."""

    only_browse: float = 0.4
    abandon: float = 0.15
    release: float = 0.1
    cancel_afterwards: float = 0.2
    reschedule_afterwards: float = 0.1
    think_ms: float = 150.0
    hold_seconds: int = 8
    units_max: int = 4


class Visitors:
    """The people of one period; `visit` is one of them, for an open loop."""

    def __init__(
        self, client: Client, record: Recorder, opened: Opened, habits: Habits, rng: Dice
    ) -> None:
        self.in_flight = 0
        self.late_ms = 0.0
        self._client = client
        self._record = record
        self._opened = opened
        self._habits = habits
        self._rng = rng
        self._weights = list(accumulate(1 / rank for rank in range(1, len(opened.slot_ids) + 1)))

    async def visit(self, number: int, intended_ns: int) -> None:
        """Everything one person does, from the first look to the last change of mind."""
        self.in_flight += 1
        self.late_ms = (time.monotonic_ns() - intended_ns) / 1e6
        try:
            # Everything random is drawn before the first wait, so that the same seed gives the same people.
            mine = self._rng.another()
            await self._visit(Person(self._client, self._record, number, mine), mine, intended_ns)
        finally:
            self.in_flight -= 1

    async def _visit(self, person: Person, mine: Random, intended_ns: int) -> None:
        habits = self._habits
        slot_id, units = self._choice(mine), mine.randint(1, habits.units_max)
        page = await self._browse(person, intended_ns)
        look = await person.look(slot_id, token=page.token_out, wait_s=TOKEN_WAIT_S, units=units)
        if look.status != 200 or mine.random() < habits.only_browse:
            return
        await self._think(mine)
        hold = await person.hold(
            slot_id, units, based_on=look.token_out, hold_seconds=habits.hold_seconds
        )
        if hold.status != 201 or hold.booking_id is None:
            return
        await self._think(mine)
        fate = mine.random()
        if fate < habits.abandon:
            return
        if fate < habits.abandon + habits.release:
            await self._change_and_see(person, "release", hold.booking_id)
            return
        confirmed = await self._change_and_see(person, "confirm", hold.booking_id)
        if confirmed.status != 200:
            return
        await self._think(mine)
        fate = mine.random()
        if fate < habits.cancel_afterwards:
            await self._change_and_see(person, "cancel", hold.booking_id)
        elif fate < habits.cancel_afterwards + habits.reschedule_afterwards:
            await person.change(
                "reschedule",
                hold.booking_id,
                body={"lines": [{"slot_id": self._choice(mine), "units": units}]},
                if_match=confirmed.booking_version,
            )

    async def _browse(self, person: Person, intended_ns: int) -> Operation:
        path = f"/v1/availability?resource_id={self._opened.resource_id}&{DAY}&limit=20"
        return await person.do("browse", "GET", path, intended_ns=intended_ns)

    async def _change_and_see(self, person: Person, op: str, booking_id: str) -> Operation:
        done = await person.change(op, booking_id)
        if done.outcome == "ok":
            await person.read_booking(booking_id, token=done.token_out, wait_s=TOKEN_WAIT_S)
        return done

    def _choice(self, mine: Random) -> str:
        return mine.choices(self._opened.slot_ids, cum_weights=self._weights)[0]

    async def _think(self, mine: Random) -> None:
        await asyncio.sleep(mine.expovariate(1000 / self._habits.think_ms))
