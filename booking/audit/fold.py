"""The log folded event by event, each judged by what came before it.

An event that contradicts is taken down once and then believed: the fold goes on from what it says,
so one drift gives one witness and not one for every later event. What an event does to slots is
reckoned from the booking's lines before and after it, and held against the counters it claims.
"""

import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from math import inf, isfinite
from typing import Final
from uuid import UUID

import msgspec
from msgspec import Struct

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
from booking.audit.follow_booking import FROM as OF_BOOKINGS
from booking.audit.follow_booking import follow
from booking.audit.logged_event import LoggedEvent, changes_of, columns, data_of
from booking.events.envelope import SlotChange
from booking.events.facts import PolicyChanged, ResourceCreated, SlotOpened
from booking.events.upcasters import NewerSchema

_NO_ID: Final = UUID(int=0)


class Fold:
    """Everything the log says up to `position`, in memory."""

    def __init__(self, findings: Findings) -> None:
        self.position = 0
        self.resources: dict[int, Resource] = {}
        self.slots: dict[int, Slot] = {}
        self.doubted: set[int] = set()
        """Entities that contradict themselves in the log already; each is taken down once."""
        self.ids_out_of_order: set[int] = set()
        """Ids of events that are not greater than all before them. Ids begin with the time, so these are
        few, and any other is an id that was not there before."""
        self._newest_id = _NO_ID
        self._recorded_s = -inf
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
        if event.event_id > self._newest_id:
            self._newest_id = event.event_id
        else:
            self.ids_out_of_order.add(event.event_id.int)
        if event.recorded_s < self._recorded_s:
            self._went_back(event.recorded_s, "event")
        self._recorded_s = event.recorded_s
        try:
            self._take(event, changes_of(event), data_of(event))
        except (
            msgspec.MsgspecError,
            KeyError,
            NewerSchema,
            TypeError,
            struct.error,
            OverflowError,
        ) as error:
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

    def head(self, recorded_s: float) -> None:
        """The head of the log says when its last event, where the fold is, was recorded."""
        if recorded_s < self._recorded_s:
            self._went_back(recorded_s, "counters")

    def twice(self, event_id: int, positions: Sequence[int]) -> None:
        """Events at several positions have the same id."""
        self._doubt(
            "event",
            event_id,
            len(positions),
            "event-ids-differ",
            log={"positions": list(positions)},
        )

    def _went_back(self, recorded_s: float, source: str) -> None:
        says = {
            source: {"recorded_at": _moment(recorded_s)},
            "expected": {"recorded_at": f"{_moment(self._recorded_s)} or later"},
        }
        self._doubt("log", None, 1, "recorded-in-order", **says)

    def _take(self, event: LoggedEvent, changes: list[SlotChange], data: Struct) -> None:
        moves: Moves = {}
        sound = True
        if event.type in OF_BOOKINGS:
            sound, moves = self._take_booking(event, data)
            sound = sound and self._judge_touched(event, changes, moves)
        elif isinstance(data, ResourceCreated | PolicyChanged):
            sound = self._take_resource(data)
        elif isinstance(data, SlotOpened):
            self._open(changes, data)
        for change in changes:
            move = moves.get(change.slot_id.int, follow_slot.UNMOVED)
            sound = self._take_change(event, change, move, judge=sound)
        if sound:
            self._judge_columns(event, changes, data)

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
        return moves.keys() == touched or self._doubt(
            "booking",
            None if event.booking_id is None else event.booking_id.int,
            0,
            "events-follow",
            event={"slots": sorted(touched)},
            expected={"slots": sorted(moves)},
        )

    def _judge_columns(self, event: LoggedEvent, changes: list[SlotChange], data: Struct) -> None:
        """Readers find events by these columns, without a look at the payload."""
        slot_ids = [change.slot_id for change in changes]
        resource_id = self._resource_id(event, changes, data)
        booking_id = event.booking_id if event.type in OF_BOOKINGS else None
        if (
            event.slot_ids == slot_ids
            and event.resource_id == resource_id
            and event.booking_id is booking_id
        ):
            return
        row = columns(event.booking_id, event.resource_id, event.slot_ids)
        payload = columns(booking_id, resource_id, slot_ids)
        self._doubt("event", None, 1, "columns-as-payload", **differing(row=row, event=payload))

    def _resource_id(
        self, event: LoggedEvent, changes: list[SlotChange], data: Struct
    ) -> UUID | None:
        """The one resource that an event is about: of the slots it touches; of its lines, if it touches none."""
        if changes:
            first = changes[0].resource_id
            same = len(changes) == 1 or all(change.resource_id == first for change in changes)
            return first if same else None
        if isinstance(data, ResourceCreated | PolicyChanged):
            return data.resource_id
        lines = () if event.booking_id is None else self.booking(event.booking_id.int).lines
        of_lines = {
            self.slots[slot_id].resource_id for slot_id, _ in lines if slot_id in self.slots
        }
        return UUID(int=of_lines.pop()) if len(of_lines) == 1 else None

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


def _moment(recorded_s: float) -> str:
    return (
        datetime.fromtimestamp(recorded_s, UTC).isoformat()
        if isfinite(recorded_s)
        else str(recorded_s)
    )


def use_key(slot_id: int, customer_id: int) -> int:
    """Both ids in one number, which orders as the table of uses does."""
    return slot_id << 128 | customer_id
