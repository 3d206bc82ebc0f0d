"""The checker on histories short enough to check by eye: valid, invalid, undecidable; and one planted anomaly, found exactly."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from loadtest.checkers.no_overbooking import no_overbooking
from loadtest.history import FinalSlot, LoggedEvent, LoggedSlot, Operation

SLOT = "hall"
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def opened(capacity: int) -> LoggedEvent:
    return _event(1, "SlotOpened", "opening", 0, sold=0, capacity=capacity)


def booked(version: int, *, units: int = 1, sold: int, capacity: int) -> LoggedEvent:
    return _event(version, "BookingConfirmed", f"k{version}", units, sold=sold, capacity=capacity)


def _event(version, kind, command_id, units, *, sold, capacity) -> LoggedEvent:
    slot = LoggedSlot(
        slot_id=SLOT,
        units=units,
        version=version,
        capacity=capacity,
        overbooking_units=0,
        held=0,
        confirmed=sold,
        remaining=capacity - sold,
    )
    return LoggedEvent(
        position=100 + version,
        type=kind,
        recorded_at=NOON + timedelta(seconds=version),
        command_id=command_id,
        booking_id=None if kind == "SlotOpened" else f"b{version}",
        slots=[slot],
    )


def at_rest(events: list[LoggedEvent]) -> FinalSlot:
    last = events[-1].slots[0]
    return msgspec.convert(msgspec.to_builtins(last), FinalSlot)


def answered(key: str, status: int = 201) -> Operation:
    return Operation(
        run="r",
        arm="guarded",
        journey=int(key[1:]),
        op="book",
        slot_id=SLOT,
        key=key,
        units=1,
        intended_ns=0,
        invoke_ns=1,
        return_ns=2,
        outcome="ok" if status == 201 else "failed",
        status=status,
    )


def test_a_slot_sold_to_the_last_unit_and_no_further_is_valid():
    events = [opened(2), booked(2, sold=1, capacity=2), booked(3, sold=2, capacity=2)]
    operations = [answered("k2"), answered("k3"), answered("k9", status=409)]
    judgement = no_overbooking(operations, events, at_rest(events))
    assert (judgement.verdict, judgement.witnesses, judgement.opportunities) == ("valid", [], 1)


def test_one_unit_sold_twice_is_invalid_and_the_booking_that_took_it_is_named():
    events = [opened(1), booked(2, sold=1, capacity=1), booked(3, sold=2, capacity=1)]
    look = msgspec.structs.replace(answered("k3"), op="look", key=None, remaining=1, as_of=NOON)
    judgement = no_overbooking([look, answered("k2"), answered("k3")], events, at_rest(events))
    assert judgement.verdict == "invalid"
    [witness] = judgement.witnesses
    told = {name: witness.facts[name] for name in ("booking_id", "version", "sold", "limit")}
    assert told == {"booking_id": "b3", "version": 3, "sold": 2, "limit": 1}
    assert "decided on 1 units left" in witness.sentence
    assert "was answered 201" in witness.sentence


def test_with_a_version_missing_from_the_log_nothing_is_claimed():
    events = [opened(2), booked(3, sold=2, capacity=2)]
    judgement = no_overbooking([], events, at_rest(events))
    assert (judgement.verdict, judgement.witnesses) == ("unknown", [])
    assert "version 2" in str(judgement.reason)


def test_a_booking_that_was_answered_but_never_logged_makes_the_log_no_witness():
    events = [opened(2), booked(2, sold=1, capacity=2)]
    judgement = no_overbooking([answered("k2"), answered("k7")], events, at_rest(events))
    assert judgement.verdict == "unknown"
    assert "k7" in str(judgement.reason)


def test_a_slot_at_rest_that_disagrees_with_the_log_decides_nothing():
    events = [opened(2), booked(2, sold=1, capacity=2)]
    final = msgspec.structs.replace(at_rest(events), confirmed=2, version=3)
    assert no_overbooking([answered("k2")], events, final).verdict == "unknown"


def test_a_log_whose_counters_are_not_its_changes_decides_nothing():
    events = [opened(5), booked(2, sold=2, capacity=5)]
    assert no_overbooking([], events, at_rest(events)).verdict == "unknown"


def test_overbooking_that_was_allowed_is_none():
    events = [opened(1), booked(2, sold=1, capacity=1), booked(3, sold=2, capacity=1)]
    allowed = [
        msgspec.structs.replace(e, slots=[msgspec.structs.replace(e.slots[0], overbooking_units=1)])
        for e in events
    ]
    assert no_overbooking([answered("k9", 409)], allowed, at_rest(allowed)).verdict == "valid"


@pytest.mark.parametrize("planted_at", [2, 37, 101])
def test_one_sale_planted_in_a_clean_history_is_found_and_nothing_else(planted_at):
    """The mutation: somebody with one more unit than was left slips into a sale that sold out cleanly."""
    capacity = 100
    clean = [opened(capacity)]
    clean += [booked(v, sold=v - 1, capacity=capacity) for v in range(2, capacity + 2)]
    operations = [answered(f"k{v}") for v in range(2, capacity + 2)]
    refused = answered("k1000", status=409)
    assert no_overbooking([*operations, refused], clean, at_rest(clean)).verdict == "valid"

    mutated = clean[: planted_at - 1]
    mutated.append(booked(planted_at, units=2, sold=planted_at, capacity=capacity))
    mutated += [booked(v, sold=v, capacity=capacity) for v in range(planted_at + 1, capacity + 2)]
    judgement = no_overbooking(operations, mutated, at_rest(mutated))
    assert judgement.verdict == "invalid"
    assert [w.facts["version"] for w in judgement.witnesses] == [capacity + 1]
    assert judgement.violations == 1
