"""The log folded event by event, each judged by what came before it.

An event that contradicts is taken down once and then believed: the fold goes on from what it says,
so one drift gives one witness and not one for every later event. What an event does to slots is
reckoned from the booking's lines before and after it, and held against the counters it claims.
"""

import struct
from collections.abc import Mapping
from typing import Final, NamedTuple
from uuid import UUID

import msgspec
from msgspec import Struct, json

from booking.audit import follow_slot
from booking.audit.entities import (
    LIVE,
    UNKNOWN,
    Booking,
    Moves,
    Resource,
    Slot,
    microseconds,
    movement,
    pack,
    unpack,
)
from booking.audit.findings import Findings, Witness, differing, readable
from booking.audit.follow_booking import follow
from booking.events.envelope import SlotChange
from booking.events.facts import FACTS, PolicyChanged, ResourceCreated, SlotChanged, SlotOpened

_changes = json.Decoder(list[SlotChange]).decode
_DATA: Final = {kind: json.Decoder(facts) for kind, facts in FACTS.items()}


class LoggedEvent(NamedTuple):
    """Of one row of the log, what an audit needs."""

    position: int
    type: str
    booking_id: UUID | None
    slots: str
    data: str


class Fold:
    """Everything the log says up to `position`, in memory."""

    def __init__(self, findings: Findings) -> None:
        self.position = 0
        self.resources: dict[int, Resource] = {}
        self.slots: dict[int, Slot] = {}
        self.doubted: set[int] = set()
        """Entities that contradict themselves in the log already; each is taken down once."""
        self._findings = findings
        self._bookings: dict[int, bytes] = {}
        self._use: dict[int, int] | None = None

    @property
    def booking_ids(self) -> Mapping[int, bytes]:
        """Every booking of the log."""
        return self._bookings

    def booking(self, booking_id: int) -> Booking:
        """The booking, or UNKNOWN."""
        packed = self._bookings.get(booking_id)
        return UNKNOWN if packed is None else unpack(packed)

    @property
    def use(self) -> dict[int, int]:
        """Units in live bookings by slot and customer (`use_key`), where a limit counts them.

        Reckoned anew when a limit comes or goes, and kept up to date in between: few resources have
        a limit, and every booking has a customer.
        """
        if self._use is None:
            self._use = {}
            for packed in self._bookings.values():
                self._count_use(unpack(packed), 1)
        return self._use

    def fold(self, event: LoggedEvent) -> None:
        """Judge one event by all before it, then believe it."""
        if event.position != self.position + 1:
            self.miss(event.position - 1)
        self.position = event.position
        try:
            self._take(event, _changes(event.slots), _DATA[event.type].decode(event.data))
        except (msgspec.MsgspecError, KeyError, TypeError, struct.error, OverflowError) as error:
            why = "unknown type" if isinstance(error, KeyError) else str(error)
            self._doubt("event", None, 0, "events-follow", event={event.type: why})

    def miss(self, last: int) -> None:
        """The log has nothing from where the fold is to `last`."""
        first = self.position + 1
        self.position = last
        self._doubt("log", None, 0, "positions-dense", log={"first_hole": first, "last_hole": last})

    def overhang(self, head: int, newest: int) -> None:
        """The log has events beyond its head."""
        self._doubt(
            "log", None, 0, "positions-dense", counters={"head": head}, log={"newest": newest}
        )

    def _take(self, event: LoggedEvent, changes: list[SlotChange], data: Struct) -> None:
        moves: Moves = {}
        sound = True
        match data:
            case ResourceCreated() | PolicyChanged():
                sound = self._take_resource(data)
            case SlotOpened():
                self._open(changes, data)
            case SlotChanged():
                pass
            case _:
                sound, moves = self._take_booking(event, data)
                sound = sound and self._judge_touched(event, changes, moves)
        for change in changes:
            move = moves.get(change.slot_id.int, follow_slot.UNMOVED)
            sound = self._take_change(event, change, move, judge=sound)

    def _take_resource(self, data: ResourceCreated | PolicyChanged) -> bool:
        key = data.resource_id.int
        known = self.resources.get(key)
        named = data if isinstance(data, ResourceCreated) else known
        made = Resource(
            version=data.version,
            name="" if named is None else named.name,
            time_zone="" if named is None else named.time_zone,
            policy=data.policy,
        )
        self.resources[key] = made
        if known is None or known.limits_customers != made.limits_customers:
            self._use = None
        expected = 1 if known is None else known.version + 1
        return made.version == expected or self._doubt(
            "resource",
            key,
            made.version,
            "versions-dense",
            event={"version": made.version},
            expected={"version": expected},
        )

    def _open(self, changes: list[SlotChange], data: SlotOpened) -> None:
        for change in changes:
            slot = self.slots.setdefault(change.slot_id.int, Slot())
            slot.resource_id = change.resource_id.int
            slot.starts_us = microseconds(data.starts_at)
            slot.ends_us = microseconds(data.ends_at)

    def _take_booking(self, event: LoggedEvent, data: Struct) -> tuple[bool, Moves]:
        if event.booking_id is None:
            raise TypeError("it names no booking")
        key = event.booking_id.int
        before = self.booking(key)
        after, says, expected = follow(before, event.position, event.type, data)
        self._bookings[key] = pack(after)
        if self._use is not None:
            self._count_use(before, -1)
            self._count_use(after, 1)
        moves = movement(before, after)
        for slot_id, (held, confirmed) in moves.items():
            slot = self.slots.get(slot_id)
            if slot is not None:
                slot.live_held += held
                slot.live_confirmed += confirmed
        if says == expected:
            return True, moves
        rule = "events-follow" if says["version"] == expected["version"] else "versions-dense"
        differs = differing(event=says, expected=expected)
        return self._doubt("booking", key, after.version, rule, **differs), moves

    def _judge_touched(self, event: LoggedEvent, changes: list[SlotChange], moves: Moves) -> bool:
        touched = {change.slot_id.int for change in changes}
        return touched == moves.keys() or self._doubt(
            "booking",
            None if event.booking_id is None else event.booking_id.int,
            0,
            "events-follow",
            event={"slots": sorted(touched)},
            expected={"slots": sorted(moves)},
        )

    def _take_change(
        self, event: LoggedEvent, change: SlotChange, move: tuple[int, int], *, judge: bool
    ) -> bool:
        """What an event says of one slot. An event doubted already is believed without another word."""
        key = change.slot_id.int
        slot = self.slots.get(key)
        if slot is None:
            slot = self.slots[key] = Slot(resource_id=change.resource_id.int)
        says = follow_slot.says(change)
        expected = follow_slot.expected(slot, event.type, change, move)
        follow_slot.believe(slot, says)
        if not judge:
            return False
        if says != expected:
            return self._doubt(
                "slot",
                key,
                says.version,
                "events-follow" if says.version == expected.version else "versions-dense",
                **differing(event=says._asdict(), expected=expected._asdict()),
            )
        return says.remaining >= 0 or self._doubt(
            "slot", key, says.version, "never-oversold", event=says._asdict()
        )

    def _count_use(self, booking: Booking, sign: int) -> None:
        if self._use is None or booking.state not in LIVE:
            return
        for slot_id, units in booking.lines:
            slot = self.slots.get(slot_id)
            resource = None if slot is None else self.resources.get(slot.resource_id)
            if resource is not None and resource.limits_customers:
                key = use_key(slot_id, booking.customer_id)
                left = self._use.get(key, 0) + sign * units
                if left:
                    self._use[key] = left
                else:
                    self._use.pop(key, None)

    def _doubt(
        self,
        entity: str,
        key: int | None,
        size: int,
        rule: str,
        **says: Mapping[str, object],
    ) -> bool:
        """Take the first contradiction of an entity down. Always False: it is not sound."""
        if key is None or key not in self.doubted:
            self._findings.add(
                Witness(
                    rule=rule,
                    entity=entity,
                    id=None if key is None else UUID(int=key),
                    position=self.position,
                    size=size,
                    says=readable(says),
                )
            )
        if key is not None:
            self.doubted.add(key)
        return False


def use_key(slot_id: int, customer_id: int) -> int:
    """Both ids in one number, which orders as the table of uses does."""
    return slot_id << 128 | customer_id
