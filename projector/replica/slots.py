"""Slots by id, from memory where they are held and from the tables where not.

Those who miss at the same moment share one statement, and what it finds is kept from then on. Every
value comes with the position it is of: this node's, or the tables' where they were further.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias, TypeVar
from uuid import UUID

import asyncpg
import msgspec

from projector.consumer.due import Due
from projector.queries.found import Found
from projector.queries.get_slot import SlotsFound, SlotView, get_slots
from projector.queries.standing import Standing
from projector.queries.together import LANES, Together
from projector.replica.memory import Held, Replica, Told, open_json

LANES_OF_A_LATE_NODE = 64
"""With an injected lag a statement's answer is kept back, and its lane with it."""
READ_AGAIN_MAX = 3
"""After that the answer is given and not kept."""

T = TypeVar("T")
OpenJson: TypeAlias = bytes
"""The members of a slot, the object left open."""

_decode = msgspec.json.Decoder(SlotView).decode


class ReplicatedSlots:
    """Finds slots; `fills` counts what became of readings of the tables."""

    def __init__(self, read_model: asyncpg.Pool, replica: Replica, due: Due) -> None:
        self.replica = replica
        self.fills = {"kept": 0, "discarded": 0, "read again": 0}
        self._read_model = read_model
        self._due = due
        self._together: Together[UUID, Found[SlotView | None]] = Together(
            self._look, lanes=lanes(due)
        )

    def held(self, slot_id: UUID) -> tuple[Held, Standing] | None:
        """The slot and the position it is of, when it is in memory."""
        held = self.replica.find(slot_id)
        standing = self.replica.standing
        if held is None or standing is None:
            return None
        ahead = held.ahead
        if ahead is not None and ahead.position > standing.position:
            return held, ahead
        return held, standing

    async def find(self, slot_id: UUID) -> Found[SlotView | None]:
        """One slot."""
        there = self.held(slot_id)
        if there is None:
            return await self._together.find(slot_id)
        held, standing = there
        value = None
        if held.version:
            value = _decode(_shown(held.json, suspect=held.suspect) + b"}")
        return _found(standing, value, suspect=held.suspect)

    async def find_all(self, slot_ids: Sequence[UUID]) -> Found[list[OpenJson]]:
        """Those of some slots that exist, in the order asked for, all of one position."""
        if len(slot_ids) == 1 and self.held(slot_ids[0]) is None:
            await self.find(slot_ids[0])  # with others who ask at the same time
        all_held = [there for slot_id in slot_ids if (there := self.held(slot_id)) is not None]
        standing = self.replica.standing
        if (
            standing is not None
            and len(all_held) == len(slot_ids)
            and all(of is standing for _, of in all_held)
        ):
            slots = [
                _shown(held.json, suspect=held.suspect) for held, _ in all_held if held.version
            ]
            return _found(standing, slots, suspect=any(held.suspect for held, _ in all_held))
        found = (await self._read(slot_ids)).found
        rows = [row for slot_id in slot_ids if (row := found.value.get(slot_id)) is not None]
        slots = [
            _shown(open_json(row.slot), suspect=row.suspect) for row in rows if row.slot is not None
        ]
        suspect = any(row.suspect for row in rows)
        return msgspec.structs.replace(found, value=slots, suspect=suspect)  # type: ignore[arg-type]  # another type of value

    async def _look(self, slot_ids: Sequence[UUID]) -> Mapping[UUID, Found[SlotView | None]]:
        found = (await self._read(slot_ids)).found
        answers = {}
        for slot_id in slot_ids:
            row = found.value.get(slot_id)
            view = None
            if row is not None and row.slot is not None:
                view = SlotView(**msgspec.structs.asdict(row.slot), suspect=row.suspect)
            answers[slot_id] = Found(
                epoch=found.epoch,
                position=found.position,
                as_of=found.as_of,
                rebuilding=found.rebuilding,
                suspect=row is not None and row.suspect,
                value=view,
            )
        return answers

    async def _read(self, slot_ids: Sequence[UUID]) -> SlotsFound:
        """Read the tables, and keep what they say if nothing was missed meanwhile."""
        fill = self.replica.register(slot_ids)
        try:
            for _ in range(READ_AGAIN_MAX):
                read = await get_slots(self._read_model, slot_ids)
                found = read.found
                if found.rebuilding or found.epoch is None or found.as_of is None:
                    return read
                await self._due.keep_back(found.as_of)
                at = Standing(
                    epoch=found.epoch,
                    generation=read.generation,
                    position=found.position,
                    as_of=found.as_of,
                )
                rows = {
                    slot_id: (Told(row.slot) if row.slot is not None else None, row.suspect)
                    if row is not None
                    else None
                    for slot_id in slot_ids
                    for row in (found.value.get(slot_id),)
                }
                outcome = self.replica.fill(fill, at, rows)
                self.fills[outcome] += 1
                if outcome != "read again":
                    return read
            return read
        finally:
            self.replica.forget(fill)


def lanes(due: Due) -> int:
    """How many statements may be under way at a time."""
    return LANES_OF_A_LATE_NODE if due.holds_back else LANES


def _shown(json: OpenJson, *, suspect: bool) -> OpenJson:
    """A slot with what every answer says of it."""
    return b'%b,"suspect":%b' % (json, b"true" if suspect else b"false")


def _found(standing: Standing, value: T, *, suspect: bool = False) -> Found[T]:
    return Found(
        epoch=standing.epoch,
        position=standing.position,
        as_of=standing.as_of,
        rebuilding=False,
        suspect=suspect,
        value=value,
    )
