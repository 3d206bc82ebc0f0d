"""Histories told by hand: operations and events in few words, with moments in milliseconds of the generator's clock."""

from datetime import UTC, datetime, timedelta

from loadtest.history import (
    LoggedBooking,
    LoggedEvent,
    LoggedLine,
    LoggedSlot,
    Operation,
    OperationLine,
)

HALL = "hall"
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def did(
    op: str,
    at_ms: float,
    until_ms: float | None = None,
    *,
    by: int = 1,
    status: int | None = None,
    outcome: str | None = None,
    slot: str | None = HALL,
    **members,
) -> Operation:
    """One request from `at_ms` to `until_ms` (a millisecond later), answered as usual unless said."""
    read = op in ("look", "read_booking")
    status = status if status is not None else 200 if read or op not in ("book", "hold") else 201
    if outcome is None:
        outcome = "indeterminate" if status == 0 else "ok" if status < 400 else "failed"
    until_ms = at_ms + 1 if until_ms is None else until_ms
    return Operation(
        run="r",
        arm="guarded",
        journey=by,
        op=op,
        slot_id=slot,
        intended_ns=int(at_ms * 1e6),
        invoke_ns=int(at_ms * 1e6),
        return_ns=int(until_ms * 1e6),
        outcome=outcome,
        status=status,
        **({"units": 1} | members),
    )


class Log:
    """A log that is written like a story; every slot has a capacity of 10 unless said."""

    def __init__(self, *, capacity: int = 10) -> None:
        self.events: list[LoggedEvent] = []
        self._capacity = capacity
        self._slots: dict[str, LoggedSlot] = {}
        self._bookings: dict[str, tuple[str, int, list[tuple[str, int]]]] = {}

    def opened(self, *slots: str) -> "Log":
        for slot in slots or (HALL,):
            self._event("SlotOpened", f"open {slot}", None, [self._changed(slot, 0, 0)])
        return self

    def resized(self, capacity: int, key: str, *, slot: str = HALL) -> "Log":
        self._capacity = capacity
        self._event("SlotResized", key, None, [self._changed(slot, 0, 0)])
        return self

    def booked(
        self,
        key: str,
        *lines: tuple[str, int],
        booking: str | None = None,
        held: bool = False,
        leaving_out: str | None = None,
    ) -> "Log":
        """A new booking, of one unit of the hall unless said; `leaving_out` a slot makes it a partial one."""
        lines = lines or ((HALL, 1),)
        booking = booking or f"b {key}"
        state = "held" if held else "confirmed"
        self._bookings[booking] = (state, 1, list(lines))
        changed = [
            self._changed(slot, units if held else 0, 0 if held else units)
            for slot, units in lines
            if slot != leaving_out
        ]
        self._event("HoldPlaced" if held else "BookingConfirmed", key, booking, changed, lines)
        return self

    def then(self, state: str, booking: str, key: str | None = None) -> "Log":
        """What becomes of a booking: confirmed, released, expired, cancelled."""
        before, version, lines = self._bookings[booking]
        self._bookings[booking] = (state, version + 1, lines)
        changed = []
        for slot, units in lines:
            held = -units if before == "held" else 0
            confirmed = {"confirmed": units}.get(state, 0) - {"confirmed": units}.get(before, 0)
            changed.append(self._changed(slot, held, confirmed))
        kind = {
            "confirmed": "BookingConfirmed",
            "released": "HoldReleased",
            "expired": "HoldExpired",
            "cancelled": "BookingCancelled",
        }[state]
        self._event(kind, key or f"{state} {booking}", booking, changed, None, before)
        return self

    def _changed(self, slot_id: str, held: int, confirmed: int) -> LoggedSlot:
        was = self._slots.get(slot_id)
        now_held = (was.held if was else 0) + held
        now_confirmed = (was.confirmed if was else 0) + confirmed
        self._slots[slot_id] = LoggedSlot(
            slot_id=slot_id,
            units=held + confirmed,
            version=(was.version if was else 0) + 1,
            capacity=self._capacity,
            overbooking_units=0,
            held=now_held,
            confirmed=now_confirmed,
            remaining=self._capacity - now_held - now_confirmed,
        )
        return self._slots[slot_id]

    def _event(self, kind, key, booking, slots, lines=None, before=None) -> None:  # noqa: PLR0917 -- the parts of one event
        state, version, _ = self._bookings.get(booking, (None, None, None))
        position = len(self.events) + 1
        self.events.append(
            LoggedEvent(
                position=position,
                type=kind,
                recorded_at=NOON + timedelta(milliseconds=position),
                command_id=key,
                booking_id=booking,
                slots=slots,
                data=LoggedBooking(
                    state=state,
                    before=before,
                    version=version,
                    lines=[LoggedLine(slot_id=s, units=n) for s, n in lines] if lines else None,
                ),
            )
        )


def line(slot: str, units: int, *, remaining: int | None = None, version: int | None = None):
    return OperationLine(slot_id=slot, units=units, remaining=remaining, version=version)
