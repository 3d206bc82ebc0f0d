"""What the contract says about deciding, as plain Python: no locks, no batches, no database.

One command at a time, in order of arrival. What would be refused although holds past their time
keep the units is answered `Reclaim`: the holds that are to expire first, oldest first and no more
than needed. An answer is told by outcome, status and members; moments are `datetime`s, to be
compared with some tolerance, because only the database knows the time.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

LIVE = {"held", "confirmed"}
MOVES = {  # kind: ({state before: state after}, event)
    "ConfirmBooking": ({"held": "confirmed"}, "BookingConfirmed"),
    "ReleaseHold": ({"held": "released"}, "HoldReleased"),
    "CancelBooking": ({"held": "cancelled", "confirmed": "cancelled"}, "BookingCancelled"),
    "ExpireHold": ({"held": "expired"}, "HoldExpired"),
    "ExtendHold": ({"held": "held"}, "HoldExtended"),
    "RescheduleBooking": ({"held": "held", "confirmed": "confirmed"}, "BookingRescheduled"),
    "TransferBooking": ({"held": "held", "confirmed": "confirmed"}, "BookingTransferred"),
}
NEW = {"PlaceHold": ("held", "HoldPlaced"), "BookNow": ("confirmed", "BookingConfirmed")}
ABOUT_SLOTS = {"ResizeSlot": "SlotResized", "CloseSlot": "SlotClosed", "ReopenSlot": "SlotReopened"}


class Order(NamedTuple):
    """A command as a client means it. `if_match` None: not sent. `key` belongs to `caller`."""

    kind: str
    key: str
    caller: str = "tests"
    owner: UUID | None = None
    too_late: bool = False
    if_match: tuple[int, ...] | None = None
    booking: UUID | None = None
    customer: UUID | None = None
    hold_seconds: int | None = None
    lines: tuple[tuple[UUID, int], ...] = ()
    slot: UUID | None = None
    capacity: int | None = None
    overbooking: int | None = None
    resource: UUID | None = None
    policy: tuple[int, int | None, int | None, int] | None = None
    opened: tuple[tuple[UUID, datetime, datetime, int], ...] = ()


class Answer(NamedTuple):
    """`position` is counted from the log's beginning in the model; None: wherever the log stands."""

    outcome: str
    status: int
    body: dict[str, Any]
    etag: int | None = None
    location: str | None = None
    position: int | None = None


class Reclaim(NamedTuple):
    """Not to be decided before these holds have expired."""

    holds: list[UUID]


@dataclass
class Resource:
    resource_id: UUID
    policy: tuple[int, int | None, int | None, int]
    version: int = 1

    hold_seconds = property(lambda self: self.policy[0])
    booking_max = property(lambda self: self.policy[1])
    customer_max = property(lambda self: self.policy[2])


@dataclass(eq=False)
class Slot:
    slot_id: UUID
    resource: Resource
    starts_at: datetime
    ends_at: datetime
    capacity: int
    overbooking: int
    state: str = "open"
    version: int = 1
    held: int = 0
    confirmed: int = 0

    @property
    def remaining(self) -> int:
        return self.capacity + self.overbooking - self.held - self.confirmed

    def shown(self) -> dict[str, Any]:
        return {
            "slot_id": str(self.slot_id),
            "resource_id": str(self.resource.resource_id),
            "state": self.state,
            "capacity": self.capacity,
            "overbooking_units": self.overbooking,
            "held": self.held,
            "confirmed": self.confirmed,
            "remaining": self.remaining,
            "version": self.version,
        }


@dataclass
class Booking:
    booking_id: UUID
    customer: UUID
    state: str
    lines: dict[UUID, int]
    expires_at: datetime | None = None
    version: int = 0
    answer: dict[str, Any] = field(default_factory=dict)  # of its newest event


class Model:
    """A shop that decides by the book."""

    def __init__(self) -> None:
        self.resources: dict[UUID, Resource] = {}
        self.slots: dict[UUID, Slot] = {}
        self.bookings: dict[UUID, Booking] = {}
        self.records: dict[tuple[str, str], tuple[Order, Answer]] = {}
        self.log: list[dict[str, Any]] = []
        self.just_expired: Counter[UUID] = Counter()  # how often a slot, for the command at hand

    def used(self, slot: UUID, customer: UUID) -> int:
        """Units of the slot that the customer has in live bookings."""
        return sum(
            booking.lines.get(slot, 0)
            for booking in self.bookings.values()
            if booking.state in LIVE and booking.customer == customer
        )

    def decide(self, order: Order, now: datetime) -> Answer | Reclaim:
        recorded = self.records.get((order.caller, order.key))
        if recorded is not None:
            asked, answer = recorded
            if asked == order._replace(too_late=False):
                return answer._replace(outcome="replayed")
            return Answer("idempotency-key-reused", 422, {})
        if order.too_late:
            return Answer("not-decided", 503, {})
        if order.kind in ABOUT_SLOTS:
            answer = self._about_a_slot(order, now)
        elif order.kind in NEW:
            answer = self._new_booking(order, now)
        elif order.kind in MOVES:
            answer = self._about_a_booking(order, now)
        else:
            answer = getattr(self, f"_{order.kind}")(order)
        happened = isinstance(answer, Answer) and answer.outcome == "accepted"
        if happened and order.caller != "system":
            self.records[order.caller, order.key] = (order._replace(too_late=False), answer)
        return answer

    # Resources and slots

    def _create(self, order: Order) -> Answer:
        if order.resource in self.resources:
            return Answer("already-exists", 409, {"resource_id": str(order.resource)})
        made = self.resources[order.resource] = Resource(order.resource, order.policy)
        facts = {
            "resource_id": str(made.resource_id),
            "name": "Hall",
            "time_zone": "UTC",
            "policy": shown_policy(made.policy),
            "version": 1,
        }
        at = self._happened("ResourceCreated", order, resource=made, data=facts)
        return Answer(
            "accepted",
            201,
            {**facts, "position": at},
            1,
            f"/v1/resources/{made.resource_id}",
            at,
        )

    def _policy(self, order: Order) -> Answer:
        known = self.resources.get(order.resource)
        if known is None:
            return Answer("resource-not-found", 404, {"resource_id": str(order.resource)})
        if refusal := mismatch(order, known.version):
            return refusal
        at = len(self.log)
        if order.policy != known.policy:
            known.policy = order.policy
            known.version += 1
            facts = {
                "resource_id": str(known.resource_id),
                "policy": shown_policy(known.policy),
                "version": known.version,
            }
            at = self._happened("PolicyChanged", order, resource=known, data=facts)
        body = {
            "resource_id": str(known.resource_id),
            "name": "Hall",
            "time_zone": "UTC",
            "policy": shown_policy(known.policy),
            "version": known.version,
            "position": at,
        }
        return Answer("accepted", 200, body, known.version, None, at)

    def _open(self, order: Order) -> Answer:
        resource = self.resources.get(order.resource)
        if resource is None:
            return Answer("resource-not-found", 404, {"resource_id": str(order.resource)})
        taken = sorted(slot_id for slot_id, *_ in order.opened if slot_id in self.slots)
        if taken:
            return Answer("already-exists", 409, {"slot_ids": [str(slot) for slot in taken]})
        shown = []
        for slot_id, starts_at, ends_at, capacity in order.opened:
            slot = Slot(slot_id, resource, starts_at, ends_at, capacity, resource.policy[3])
            self.slots[slot_id] = slot
            times = {"starts_at": starts_at, "ends_at": ends_at}
            self._happened("SlotOpened", order, slots={slot: 0}, data=times)
            shown.append({**slot.shown(), **times})
        body = {
            "resource_id": str(resource.resource_id),
            "position": len(self.log),
            "slots": shown,
        }
        return Answer("accepted", 201, body, None, None, len(self.log))

    def _about_a_slot(self, order: Order, now: datetime) -> Answer | Reclaim:
        slot = self.slots.get(order.slot)
        if slot is None:
            return Answer("slot-not-found", 404, {"slot_id": str(order.slot)})
        # Holds that expired for a resize do not outdate what it was meant for.
        before = slot.version - self.just_expired[slot.slot_id]
        meant = order.kind == "ResizeSlot" and before in (order.if_match or ())
        if not meant and (refusal := mismatch(order, slot.version)):
            return refusal
        state = {"CloseSlot": "closed", "ReopenSlot": "open"}.get(order.kind, slot.state)
        capacity = slot.capacity if order.capacity is None else order.capacity
        overbooking = slot.overbooking if order.overbooking is None else order.overbooking
        used = slot.held + slot.confirmed
        if used > capacity + overbooking:
            if holds := self._reclaimable({slot.slot_id: used - capacity - overbooking}, now):
                return Reclaim(holds)
            return Answer("capacity-below-use", 409, {"used": used}, slot.version)
        at = len(self.log)
        if (state, capacity, overbooking) != (slot.state, slot.capacity, slot.overbooking):
            slot.state, slot.capacity, slot.overbooking = state, capacity, overbooking
            slot.version += 1
            at = self._happened(ABOUT_SLOTS[order.kind], order, slots={slot: 0}, data={})
        times = {"starts_at": slot.starts_at, "ends_at": slot.ends_at}
        body = {**slot.shown(), **times, "position": at}
        return Answer("accepted", 200, body, slot.version, None, at)

    # Bookings

    def _new_booking(self, order: Order, now: datetime) -> Answer | Reclaim:
        state, event = NEW[order.kind]
        lines = dict(order.lines)
        if missing := self._missing(lines):
            return missing
        longest = min(self.slots[slot].resource.hold_seconds for slot in lines)
        if state == "held" and (order.hold_seconds or 0) > longest:
            return Answer("hold-too-long", 409, {"limit": longest})
        if refusal := self._refused(lines, lines, order.customer, order.booking, now):
            return refusal
        if order.booking in self.bookings:
            known = self.bookings[order.booking]
            version = known.version if order.owner in {None, known.customer} else None
            return Answer("already-exists", 409, {"booking_id": str(order.booking)}, version)
        booking = Booking(order.booking, order.customer, "none", {})
        self.bookings[order.booking] = booking
        if state == "held":
            booking.expires_at = now + timedelta(seconds=order.hold_seconds or longest)
        answer = self._change(order, booking, event, state, lines)
        location = f"/v1/bookings/{order.booking}"
        return answer._replace(status=201, location=location)

    def _about_a_booking(  # noqa: PLR0911 - one rule after the other, as the contract has them
        self, order: Order, now: datetime
    ) -> Answer | Reclaim:
        booking = self.bookings.get(order.booking)
        if booking is None or order.owner not in {None, booking.customer}:
            return Answer("booking-not-found", 404, {"booking_id": str(order.booking)})
        if refusal := mismatch(order, booking.version):
            return refusal
        states, event = MOVES[order.kind]
        after = states.get(booking.state)
        already = after is None and booking.state in states.values() - states.keys()
        if after is None and not already:
            body = {
                "booking_id": str(booking.booking_id),
                "state": booking.state,
                "version": booking.version,
                "allowed": sorted(states, reverse=True),
            }
            return Answer("wrong-state", 409, body, booking.version)
        lines, customer, moved = booking.lines, booking.customer, {}
        match order.kind:
            case "ExpireHold":
                already = already or booking.expires_at > now
            case "TransferBooking":
                already = order.customer == customer
                customer = order.customer
            case "RescheduleBooking":
                lines = dict(order.lines)
                moved = {
                    slot: lines.get(slot, 0) - booking.lines.get(slot, 0)
                    for slot in lines.keys() | booking.lines.keys()
                }
                already = not any(moved.values())
        if already:
            at = booking.answer["position"]
            return Answer("accepted", 200, booking.answer, booking.version, None, at)
        if missing := self._missing(lines):
            return missing
        if order.kind == "ExtendHold":
            longest = min(self.slots[slot].resource.hold_seconds for slot in lines)
            if (order.hold_seconds or 0) > longest:
                return Answer("hold-too-long", 409, {"limit": longest})
            until = now + timedelta(seconds=order.hold_seconds or longest)
            booking.expires_at = max(booking.expires_at, until)
        wanted = {slot: units for slot, units in moved.items() if units > 0}
        if refusal := self._refused(wanted, lines, customer, booking.booking_id, now):
            return refusal
        given = lines if order.kind == "TransferBooking" else {}
        if refusal := self._beyond_limit(given, customer, booking.booking_id, now):
            return refusal
        before, booking.customer = booking.customer, customer
        return self._change(order, booking, event, after, lines, customer_before=before)

    def _missing(self, lines: dict[UUID, int]) -> Answer | None:
        unknown = [
            {"slot_id": str(slot), "requested": units}
            for slot, units in sorted(lines.items())
            if slot not in self.slots
        ]
        return Answer("slot-not-found", 404, {"lines": unknown}) if unknown else None

    def _refused(
        self,
        wanted: dict[UUID, int],
        lines: dict[UUID, int],
        customer: UUID,
        own: UUID,
        now: datetime,
    ) -> Answer | Reclaim | None:
        """The first rule that any line fails. `wanted`: units beyond those it has; `lines`: all."""
        slots = [self.slots[slot] for slot in sorted(wanted)]
        closed = [
            {
                "slot_id": str(slot.slot_id),
                "requested": lines[slot.slot_id],
                "version": slot.version,
            }
            for slot in slots
            if slot.state == "closed" or slot.ends_at <= now
        ]
        if closed:
            return Answer("slot-closed", 409, {"lines": closed})
        above = [
            {
                "slot_id": str(slot.slot_id),
                "requested": lines[slot.slot_id],
                "limit": slot.resource.booking_max,
            }
            for slot in slots
            if slot.resource.booking_max is not None
            and lines[slot.slot_id] > slot.resource.booking_max
        ]
        if above:
            return Answer("booking-limit-exceeded", 409, {"lines": above})
        if refusal := self._beyond_limit(wanted, customer, own, now):
            return refusal
        short = [slot for slot in slots if wanted[slot.slot_id] > slot.remaining]
        if short:
            lacking = {slot.slot_id: wanted[slot.slot_id] - slot.remaining for slot in short}
            if holds := self._reclaimable(lacking, now, own=own):
                return Reclaim(holds)
            failed = [
                {
                    "slot_id": str(slot.slot_id),
                    "requested": wanted[slot.slot_id],
                    "remaining": slot.remaining,
                    "version": slot.version,
                }
                for slot in short
            ]
            return Answer("capacity-exceeded", 409, {"lines": failed})
        return None

    def _beyond_limit(
        self, wanted: dict[UUID, int], customer: UUID, own: UUID, now: datetime
    ) -> Answer | Reclaim | None:
        failed, lacking = [], {}
        for slot_id, units in sorted(wanted.items()):
            limit, used = self.slots[slot_id].resource.customer_max, self.used(slot_id, customer)
            if limit is not None and used + units > limit:
                lacking[slot_id] = used + units - limit
                member = {"requested": units, "used": used, "limit": limit}
                failed.append({"slot_id": str(slot_id), **member})
        if holds := self._reclaimable(lacking, now, own=own, customer=customer):
            return Reclaim(holds)
        return Answer("customer-limit-exceeded", 409, {"lines": failed}) if failed else None

    def _reclaimable(
        self,
        lacking: dict[UUID, int],
        now: datetime,
        *,
        own: UUID | None = None,
        customer: UUID | None = None,
    ) -> list[UUID]:
        """Holds past their time, oldest first, slot by slot, until nothing is lacking.

        None at all where a slot lacks units that no hold can give.
        """
        candidates = sorted(
            (booking.expires_at, booking.booking_id)
            for booking in self.bookings.values()
            if booking.state == "held"
            and booking.expires_at <= now
            and booking.booking_id != own
            and customer in {None, booking.customer}
        )
        chosen: list[UUID] = []
        for slot, units in sorted(lacking.items()):
            freed = sum(self.bookings[hold].lines.get(slot, 0) for hold in chosen)
            if freed >= units:
                continue
            more = []
            for _, hold in candidates:
                if freed < units and hold not in chosen and slot in self.bookings[hold].lines:
                    more.append(hold)
                    freed += self.bookings[hold].lines[slot]
            if not more:
                return []
            chosen += more
        return chosen

    def _change(
        self,
        order: Order,
        booking: Booking,
        event: str,
        after: str,
        lines: dict[UUID, int],
        *,
        customer_before: UUID | None = None,
    ) -> Answer:
        """It happens: to the counters, to the booking, and to the log."""
        lines_before, before = booking.lines, booking.state
        count_before = {"held": 0, "confirmed": 0} | {before: 1}
        count_after = {"held": 0, "confirmed": 0} | {after: 1}
        touched: dict[Slot, int] = {}
        for slot_id in sorted(lines.keys() | lines_before.keys()):
            was, will_be = lines_before.get(slot_id, 0), lines.get(slot_id, 0)
            held = will_be * count_after["held"] - was * count_before["held"]
            confirmed = will_be * count_after["confirmed"] - was * count_before["confirmed"]
            if held or confirmed:
                slot = self.slots[slot_id]
                slot.held += held
                slot.confirmed += confirmed
                slot.version += 1
                self.just_expired[slot_id] += event == "HoldExpired"
                touched[slot] = held + confirmed
        booking.state, booking.lines = after, lines
        booking.version += 1
        if after != "held":
            booking.expires_at = None
        state, version = {"state": after}, {"version": booking.version}
        customer = {"customer_id": str(booking.customer)}
        expiry = {"expires_at": booking.expires_at}
        data: dict[str, Any] = {
            "HoldPlaced": {**customer, **state, **version, **expiry, "lines": shown_lines(lines)},
            "HoldExtended": {**version, **expiry},
            "BookingTransferred": {
                **version,
                **customer,
                "customer_id_before": str(customer_before),
            },
            "BookingRescheduled": {
                **state,
                **version,
                "lines": shown_lines(lines),
                "lines_before": shown_lines(lines_before),
            },
        }
        data["BookingConfirmed"] = data["HoldPlaced"]
        facts = dict(data.get(event, {**state, **version}))
        if after != before:
            facts["before"] = None if before == "none" else before
        at = self._happened(event, order, slots=touched, booking=booking, data=facts)
        of_touched = {slot.slot_id: slot for slot in touched}
        booking.answer = {
            "booking_id": str(booking.booking_id),
            **customer,
            **state,
            **version,
            **expiry,
            "position": at,
            "lines": [
                {
                    "slot_id": str(slot),
                    "units": units,
                    "remaining": of_touched[slot].remaining if slot in of_touched else None,
                    "version": of_touched[slot].version if slot in of_touched else None,
                }
                for slot, units in sorted(lines.items())
            ],
        }
        return Answer("accepted", 200, booking.answer, booking.version, None, at)

    def _happened(
        self,
        event: str,
        order: Order,
        *,
        data: dict[str, Any],
        slots: dict[Slot, int] | None = None,
        booking: Booking | None = None,
        resource: Resource | None = None,
    ) -> int:
        """Put an event into the log; its position."""
        slots = slots or {}
        resources = {slot.resource.resource_id for slot in slots}
        if not slots:
            resources = {
                self.slots[slot].resource.resource_id for slot in (booking.lines if booking else ())
            } or {resource.resource_id}
        self.log.append(
            {
                "position": len(self.log) + 1,
                "type": event,
                "actor": order.caller,
                "command_id": order.key,
                "booking_id": booking and booking.booking_id,
                "resource_id": resources.pop() if len(resources) == 1 else None,
                "slot_ids": [slot.slot_id for slot in slots],
                "slots": [{**slot.shown(), "units": units} for slot, units in slots.items()],
                "data": data,
            }
        )
        return len(self.log)


def mismatch(order: Order, actual: int) -> Answer | None:
    if order.if_match is None or actual in order.if_match:
        return None
    body = {"expected": list(order.if_match), "actual": actual}
    return Answer("version-mismatch", 412, body, actual)


def shown_policy(policy: tuple[int, int | None, int | None, int]) -> dict[str, int | None]:
    names = "hold_seconds", "units_per_booking_max", "units_per_customer_max", "overbooking_units"
    return dict(zip(names, policy, strict=True))


def shown_lines(lines: dict[UUID, int]) -> list[dict[str, Any]]:
    return [{"slot_id": str(slot), "units": units} for slot, units in sorted(lines.items())]
